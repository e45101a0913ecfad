"""Runs requests on one engine and says how long they took.

The same file runs under our package and under the reference's: both have this interface. It reads
one JSON object per line, ``{"score", "request", "candidates"}``, and answers each with one.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from midigpt import Score
from midigpt.inference import GenerationRequest, InferenceEngine


def answer(engine: InferenceEngine, job: dict[str, Any]) -> dict[str, float]:
    """Seconds and tokens of one job."""
    score = Score.from_dict(job["score"])
    request = GenerationRequest.from_dict(job["request"])
    began = time.perf_counter()
    session = engine.session(score, request)
    ready = time.perf_counter()
    if job["candidates"] > 1:
        session.run_variations()
    else:
        session.run()
    ended = time.perf_counter()
    return {"prepare_s": ready - began, "run_s": ended - ready, "tokens": session.gen_count}


def main(path: str) -> None:
    """Load the checkpoint, then answer until the input ends."""
    began = time.perf_counter()
    engine = InferenceEngine.from_checkpoint(path, device="cpu")
    print(json.dumps({"load_s": time.perf_counter() - began}), flush=True)
    for line in sys.stdin:
        result = answer(engine, json.loads(line))
        result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
