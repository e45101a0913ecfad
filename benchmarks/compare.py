"""``make bench``: our engine and the reference's, in turns, on the same requests.

All load the same checkpoint of random weights in the shape of yellow_medium and run on the CPU.
They draw different tokens, so what is compared is time per token. Every run adds a line to
``benchmarks/history.jsonl`` and draws ``benchmarks/history.svg`` anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import IO, Any

import torch

from benchmarks import cases, history
from midigpt.inference.language import Language
from midigpt.model import GPT2Config, GPT2LMHeadModel, save_checkpoint

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".bench"
REFERENCE = ROOT / ".venv-peer" / "bin" / "python"
MEDIUM = {"n_positions": 2048, "n_embd": 768, "n_layer": 12, "n_head": 12}
WEIGHT_BYTES = {"reference": 4, "fp32": 4, "fp16": 2, "int8": 1}
WIDTH = 42

Result = dict[str, Any]


def checkpoint() -> Path:
    """A checkpoint of random weights that is slow to end a bar; made once."""
    path = FOLDER / "medium-long-bars.safetensors"
    if not path.exists():
        encoder = json.loads((ROOT / "models" / "starter" / "encoder.json").read_text())
        vocabulary = Language.of(encoder).tokenizer.vocabulary
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(len(vocabulary), **MEDIUM)).requires_grad_(False)
        # the last channel before the head is always 1, so that its weights are a bias
        model.transformer.ln_f.weight[-1] = 0
        model.transformer.ln_f.bias[-1] = 1
        model.lm_head.weight[[vocabulary.offset("BarEnd"), vocabulary.offset("FillInEnd")], -1] = -6
        FOLDER.mkdir(parents=True, exist_ok=True)
        save_checkpoint(path, model, encoder)
    return path


class Engine:
    """One engine, in a process of its own."""

    def __init__(self, command: list[str], log: IO[str]) -> None:
        # each side finds its own package: not the one in the current folder
        self._process = subprocess.Popen(  # noqa: S603 - our own worker
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=FOLDER,
        )
        self.load_s: float = self._read()["load_s"]
        self.peak_mb = 0.0

    def run(self, job: cases.Job) -> Result:
        """Run one job."""
        if self._process.stdin is None:
            raise RuntimeError("the worker has no input")
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        result = self._read()
        self.peak_mb = result["peak_mb"]
        return result

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _read(self) -> Result:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the worker has ended; .bench/log says why")
        result: Result = json.loads(line)
        return result


class Bench:
    """Runs cases and keeps the figures.

    Args:
        engines: by name; ``reference`` and ``fp16`` are compared.
        rounds: how often each case runs; the median counts.

    Attributes:
        figures: what was measured, by case and engine.
    """

    def __init__(self, engines: dict[str, Engine], rounds: int) -> None:
        self._engines = engines
        self._rounds = rounds
        self.figures: dict[str, dict[str, float]] = {}

    def measure(self, jobs: list[cases.Job], names: list[str]) -> dict[str, list[list[Result]]]:
        """Results of the jobs, one after the other, by engine and round; engines take turns."""
        results: dict[str, list[list[Result]]] = {name: [] for name in names}
        for _ in range(self._rounds):
            for name in names:
                results[name].append([self._engines[name].run(job) for job in jobs])
        return results

    def tell(self, title: str, unit: str, values: dict[str, float], more: str = "") -> None:
        """Print a line and keep its figures; more is better where the unit is a rate."""
        self.figures[title] = {name: round(value, 4) for name, value in values.items()}
        theirs, ours = values.get("reference"), values.get("fp16")
        ratio = ""
        if theirs and ours:
            ratio = f"{ours / theirs if unit.endswith('/s') else theirs / ours:.2f}x"
        columns = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        print(f"{title:{WIDTH}} {ratio:>7}  {unit:9} {columns}  {more}", flush=True)


def one_row(bench: Bench, bandwidth: float) -> None:
    """(a) Time per token by length of the prompt, and how it grows."""
    rates: dict[int, dict[str, float]] = {}
    names = list(WEIGHT_BYTES)
    for length, job in cases.ONE_ROW.items():
        results = bench.measure([job], names)
        seconds = {
            name: median(round_["token_s"] for (round_,) in rounds)
            for name, rounds in results.items()
        }
        rates[length] = {name: 1 / second for name, second in seconds.items()}
        cache = 2 * 4 * MEDIUM["n_layer"] * MEDIUM["n_embd"] * results["fp16"][0][0]["prompt"]
        speeds = [
            f"{name} {(read_bytes(name) + cache) / seconds[name] / bandwidth:.0%}"
            for name in names
            if name != "reference"
        ]
        more = f"of the machine's {bandwidth / 1e9:.1f} GB/s: {', '.join(speeds)}"
        bench.tell(f"(a) one row, prompt of {length}", "tokens/s", rates[length], more)
    first, *_, last = rates.values()
    bench.tell(
        "(a) time at the longest to the shortest", "", {n: first[n] / last[n] for n in names}
    )


def read_bytes(name: str) -> int:
    """Bytes of weights that one token reads."""
    layers, width = MEDIUM["n_layer"], MEDIUM["n_embd"]
    return WEIGHT_BYTES[name] * (12 * layers * width**2 + 647 * width)


def per_second(results: dict[str, list[list[Result]]]) -> dict[str, float]:
    """Tokens per second of whole runs, all jobs of a round together, by engine."""
    return {
        name: median(
            sum(job["tokens"] for job in jobs)
            / sum(job["prepare_s"] + job["run_s"] for job in jobs)
            for jobs in rounds
        )
        for name, rounds in results.items()
    }


def whole_runs(bench: Bench) -> None:
    """(b) and (c): tokens per second, everything included, and what is not the network."""
    names = ["reference", "fp16"]
    for title, job in (
        ("(b) 8 candidates", cases.CANDIDATES),
        ("(c) 16 bars, 4 tracks, bar by bar", cases.INFILL),
    ):
        results = bench.measure([job], names)
        rates = per_second(results)
        rest = median(1 - round_["forward_s"] / round_["run_s"] for (round_,) in results["fp16"])
        bench.tell(title, "tokens/s", rates, f"outside the network {rest:.1%}")


def real_music(bench: Bench) -> None:
    """(i) The built-in model on a song: tokens per second, everything included."""
    for title, jobs in (
        ("(i) song, built-in model", cases.SONG),
        ("(i) the same, 8 candidates", cases.SONG_CANDIDATES),
    ):
        bench.tell(title, "tokens/s", per_second(bench.measure(jobs, ["reference", "fp16"])))


def again(bench: Bench) -> None:
    """(d) The same song with another seed: what its prompt costs the second time."""
    results = bench.measure(cases.AGAIN, ["reference", "fp16"])
    for name, (before, *_) in results.items():
        first, second = (result["prompt_s"] for result in before)
        values = {"first": first, "again": second}
        bench.tell(f"(d) prompt of the same song, {name}", "s", values, f"{second / first:.0%}")


def single_figures(bench: Bench, engines: dict[str, Engine]) -> None:
    """(e) to (h): first note, preparation, memory, start-up."""
    for title, job, key in (
        ("(e) first note", cases.STREAM, "first_note_s"),
        ("(f) preparation, 20,000 notes", cases.LARGE, "prepare_s"),
    ):
        results = bench.measure([job], ["reference", "fp16"])
        values = {n: median(r[key] for (r,) in rounds) for n, rounds in results.items()}
        bench.tell(title, "s", values)
    bench.tell("(g) peak memory", "MB", {name: e.peak_mb for name, e in engines.items()})
    bench.tell("(h) start-up", "s", {name: e.load_s for name, e in engines.items()})


def main() -> None:
    """Measure, print, and add to the history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="leave the history alone")
    arguments = parser.parse_args()
    worker, path = str(ROOT / "benchmarks" / "worker.py"), str(checkpoint())
    starter = str(ROOT / "models" / "starter" / "starter.safetensors")
    with ExitStack() as stack:
        log = stack.enter_context((FOLDER / "log").open("w"))
        engines = {"reference": Engine([str(REFERENCE), worker, path], log)}
        for precision in ("fp16", "fp32", "int8"):
            engines[precision] = Engine([sys.executable, worker, path, precision], log)
        musicians = {
            "reference": Engine([str(REFERENCE), worker, starter], log),
            "fp16": Engine([sys.executable, worker, starter], log),
        }
        for engine in [*engines.values(), *musicians.values()]:
            stack.callback(engine.close)
        machine = history.machine()
        print(
            f"{machine['cpu']}, {machine['cores']} cores, torch {torch.__version__}, "
            f"load {os.getloadavg()[0]:.1f}"
        )
        bench = Bench(engines, arguments.rounds)
        one_row(bench, history.read_bandwidth())
        whole_runs(bench)
        again(bench)
        single_figures(bench, engines)
        players = Bench(musicians, arguments.rounds)
        real_music(players)
    if not arguments.dry:
        history.add(bench.figures | players.figures, machine)
        history.draw()


if __name__ == "__main__":
    main()
