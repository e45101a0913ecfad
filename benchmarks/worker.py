"""Runs requests on one engine and says how long they took.

The same file runs under our package and under the reference's: both have this interface. It reads
one JSON object per line, ``{"score", "request", "candidates", "prepare", "stream"}``, and answers
each with one. A second argument names the precision, which only ours has.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

BEGAN = time.perf_counter()

from midigpt import Score  # noqa: E402 - importing is part of the start-up
from midigpt.inference import GenerationRequest, InferenceEngine  # noqa: E402


def answer(engine: InferenceEngine, job: dict[str, Any]) -> dict[str, Any]:
    """Seconds and tokens of one job."""
    began = time.perf_counter()
    score = Score.from_dict(job["score"])
    request = GenerationRequest.from_dict(job["request"])
    session = engine.session(score, request)
    ready = time.perf_counter()
    result: dict[str, Any] = {"prepare_s": ready - began}
    if job.get("prepare"):
        return result
    ticks: list[float] = []
    notes: list[float] = []
    session.enable_profiling = True
    session.progress_sink = lambda: ticks.append(time.perf_counter() - ready)
    if job.get("stream"):
        session.note_sink = lambda _: notes.append(time.perf_counter() - ready)
    if job.get("candidates", 1) > 1:
        session.run_variations()
    else:
        session.run()
    result["run_s"] = time.perf_counter() - ready
    result["tokens"] = session.gen_count
    result["prompt"] = session.context_len
    result["forward_s"] = session.model_forward_time
    if len(ticks) > 1:  # one every 32 tokens
        result["token_s"] = (ticks[-1] - ticks[0]) / (32 * (len(ticks) - 1))
        result["prompt_s"] = ticks[0] - 32 * result["token_s"]
    if notes:
        result["first_note_s"] = notes[0]
    return result


def main(path: str, *precision: str) -> None:
    """Load the checkpoint, then answer until the input ends."""
    options = {"precision": precision[0]} if precision else {}
    engine = InferenceEngine.from_checkpoint(path, device="cpu", **options)
    print(json.dumps({"load_s": time.perf_counter() - BEGAN}), flush=True)
    for line in sys.stdin:
        result = answer(engine, json.loads(line))
        result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
