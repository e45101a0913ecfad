"""``make bench``: our engine and the reference's, in turns, on the same requests.

Both load the same checkpoint of random weights in the shape of yellow_medium and run on the CPU.
They draw different tokens, so what is compared is time per token, everything included. Our plain
decoder reads all weights once per token and row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import IO, Any

import torch

from midigpt.inference.language import Language
from midigpt.model import GPT2Config, GPT2LMHeadModel, save_checkpoint

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / ".venv-peer" / "bin" / "python"
MEDIUM = {"n_positions": 2048, "n_embd": 768, "n_layer": 12, "n_head": 12}
WIDTH = 34


def checkpoint(folder: Path) -> Path:
    """A checkpoint of random weights; made once."""
    path = folder / "medium.safetensors"
    if not path.exists():
        encoder = json.loads((ROOT / "models" / "starter" / "encoder.json").read_text())
        vocabulary = Language.of(encoder).tokenizer.vocabulary
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(len(vocabulary), **MEDIUM))
        folder.mkdir(parents=True, exist_ok=True)
        save_checkpoint(path, model, encoder)
    return path


def job(notes: int, tracks: int = 1, bars: int = 4, candidates: int = 1) -> dict[str, Any]:
    """Fill in every other bar of the first track; each bar of context has so many notes."""
    bar = {
        "notes": [
            {
                "pitch": 36 + n * 7 % 48,
                "velocity": 60 + n % 4 * 8,
                "onset_ticks": 1920 * n // max(1, notes) // 40 * 40,
                "duration_ticks": 120,
            }
            for n in range(notes)
        ]
    }
    score = {"resolution": 480, "tracks": [{"bars": [bar] * bars}] * tracks}
    prompts = [{"id": t, "bars": list(range(1, bars, 2)) if t == 0 else []} for t in range(tracks)]
    config = {
        "seed": 1,
        "density_hard_limit": 24,
        "novelty_check": False,
        "context": "all",
        "num_candidates": candidates,
        # for one batch: the reference decodes candidates together only if there is a single step
        "bars_per_step": "auto" if candidates > 1 else 1,
    }
    request = {"tracks": prompts, "config": config}
    return {"score": score, "request": request, "candidates": candidates}


CASES = {
    "one row, context of about 150": job(10),
    "one row, context of about 900": job(75),
    "one row, context of about 1,700": job(140),
    "8 candidates": job(40, candidates=8),
    "16 bars, 4 tracks, bar by bar": job(10, tracks=4, bars=16),
}


class Engine:
    """One of the two engines, in a process of its own."""

    def __init__(self, python: str, path: Path, folder: Path, log: IO[str]) -> None:
        worker = ROOT / "benchmarks" / "worker.py"
        # each side finds its own package: not the one in the current folder
        self._process = subprocess.Popen(  # noqa: S603 - our own worker
            [python, str(worker), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=folder,
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        )
        self.load_s = self._read()["load_s"]

    def run(self, work: dict[str, Any]) -> dict[str, float]:
        """Run one job."""
        if self._process.stdin is None:
            raise RuntimeError("the worker has no input")
        self._process.stdin.write(json.dumps(work) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _read(self) -> dict[str, float]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the worker has ended; .bench/log says why")
        result: dict[str, float] = json.loads(line)
        return result


def rate(results: list[dict[str, float]]) -> float:
    """Tokens per second, the median of the rounds."""
    return median(result["tokens"] / result["run_s"] for result in results)


def main() -> None:
    """Print a table of both, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    path = checkpoint(ROOT / ".bench")
    weights_gb = path.stat().st_size / 1e9
    with (path.parent / "log").open("w") as log:
        engines = {
            "reference": Engine(str(REFERENCE), path, path.parent, log),
            "ours": Engine(sys.executable, path, path.parent, log),
        }
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, float32")
    print(f"{'':{WIDTH}} {'reference':>10} {'ours':>10} {'ratio':>7}   ours reads")
    peaks = dict.fromkeys(engines, 0.0)
    for name, work in CASES.items():
        results: dict[str, list[dict[str, float]]] = {side: [] for side in engines}
        for _ in range(rounds):
            for side, engine in engines.items():
                results[side].append(engine.run(work))
                peaks[side] = results[side][-1]["peak_mb"]
        theirs, ours = rate(results["reference"]), rate(results["ours"])
        print(
            f"{name:{WIDTH}} {theirs:>6.1f} t/s {ours:>6.1f} t/s {ours / theirs:>6.2f}x"
            f"   {ours * weights_gb:.1f} GB/s"
        )
    for title, values, unit in (
        ("peak memory", peaks, "MB"),
        ("load", {side: engine.load_s for side, engine in engines.items()}, "s"),
    ):
        theirs, ours = values["reference"], values["ours"]
        print(
            f"{title:{WIDTH}} {theirs:>7.1f} {unit:2} {ours:>7.1f} {unit:2} {ours / theirs:>5.2f}x"
        )
    for engine in engines.values():
        engine.close()


if __name__ == "__main__":
    main()
