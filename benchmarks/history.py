"""What was measured when, on which machine; and a picture of it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).parent
FILE = FOLDER / "history.jsonl"
PICTURE = FOLDER / "history.svg"
SHOWN = ["(a) one row, prompt of 256", "(a) one row, prompt of 1900", "(b) 8 candidates"]


def machine() -> dict[str, Any]:
    """What the figures depend on most."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1),
    }


def read_bandwidth() -> float:
    """Bytes per second at which all cores together read memory, the best of a few tries."""
    block = torch.ones(200_000_000)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        block.sum()
        seconds.append(time.perf_counter() - began)
    return block.nbytes / min(seconds)


def add(figures: dict[str, dict[str, float]], measured_on: dict[str, Any]) -> None:
    """Append one run."""
    entry = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": measured_on,
        "figures": figures,
    }
    with FILE.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def draw() -> None:
    """Tokens per second over the runs, as ratios to the reference in the same run."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only who draws needs it

    runs = [json.loads(line) for line in FILE.read_text().splitlines()]
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for title in SHOWN:
        points = [
            (run["commit"], values["fp16"] / values["reference"])
            for run in runs
            if (values := run["figures"].get(title)) and "reference" in values
        ]
        axes.plot(range(len(points)), [ratio for _, ratio in points], marker="o", label=title)
        axes.set_xticks(range(len(points)), [commit for commit, _ in points], rotation=45)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("times the reference")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(PICTURE)
    plt.close(figure)


def _cpu() -> str:
    """The processor's name and the widest vectors that PyTorch uses on it."""
    name = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def _commit() -> str:
    git = ["git", "-C", str(FOLDER), "describe", "--always", "--dirty"]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - our own words
