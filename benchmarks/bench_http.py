"""``make bench-http``: our server and the reference's, in turns, asked the same things.

Both serve the same small checkpoint of random weights on the CPU, so what is compared is everything
around the network. They draw different tokens: of music, time per token is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from midigpt.inference.language import Language
from midigpt.model import GPT2Config, GPT2LMHeadModel, save_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".bench"
COMMANDS = {
    "reference": ROOT / ".venv-peer" / "bin" / "midigpt-http",
    "ours": Path(sys.executable).parent / "midigpt-http",
}
SMALL = {"n_positions": 2048, "n_embd": 64, "n_layer": 2, "n_head": 4}
PAUSE_S = 0.01
PATIENCE_S = 15
WIDTH = 54


def checkpoint(path: Path) -> Path:
    """A small checkpoint of random weights; made once."""
    if not path.exists():
        encoder = json.loads((ROOT / "models" / "starter" / "encoder.json").read_text())
        torch.manual_seed(0)
        vocabulary = Language.of(encoder).tokenizer.vocabulary
        path.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(path, GPT2LMHeadModel(GPT2Config(len(vocabulary), **SMALL)), encoder)
    return path


def song(tracks: int, bars: int, notes: int, **config: Any) -> dict[str, Any]:  # noqa: ANN401 - settings
    """Write the second bar of a score, the rest of which is full of notes."""
    bar = {
        "notes": [
            {
                "pitch": 36 + n * 7 % 48,
                "velocity": 60 + n % 4 * 8,
                "onset_ticks": 1920 * n // notes // 40 * 40,
                "duration_ticks": 120,
            }
            for n in range(notes)
        ]
    }
    prompts = [{"id": t, "bars": [] if t else [1]} for t in range(tracks)]
    return {
        "score": {"resolution": 480, "tracks": [{"bars": [bar] * bars}] * tracks},
        "request": {"tracks": prompts, "config": {"novelty_check": False, **config}},
    }


MUSIC = song(1, 4, 10, seed=1, density_hard_limit=24)
LARGE = song(20, 100, 10, plan_only=True)  # 20,000 notes
ENDLESS = song(1, 300, 1, seed=1)
ENDLESS["request"]["tracks"][0]["bars"] = list(range(300))


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=300)

    def get(self, path: str) -> float:
        """Seconds until the answer is there."""
        began = time.perf_counter()
        self._connection.request("GET", path)
        self._answer()
        return time.perf_counter() - began

    def post(self, path: str, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """Seconds, and the answer."""
        content = json.dumps(body).encode()
        began = time.perf_counter()
        self._connection.request("POST", path, content, {"Content-Type": "application/json"})
        answer = self._answer()
        seconds = time.perf_counter() - began
        return seconds, json.loads(answer)

    def first_note(self, body: dict[str, Any]) -> float:
        """Seconds until the first note of a stream is there."""
        content = json.dumps({**body, "stream": True}).encode()
        began, first = time.perf_counter(), 0.0
        self._connection.request("POST", "/generate", content, {"Content-Type": "application/json"})
        for line in self._connection.getresponse():
            if not first and b'"notes"' in line:
                first = time.perf_counter() - began
        return first

    def _answer(self) -> bytes:
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {content[:300]!r}")
        return content


class Server:
    """One of the two, in a process of its own."""

    def __init__(self, command: Path, path: Path, log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        flags = ["--ckpt", path, "--host", "127.0.0.1", "--port", self.port, "--device", "cpu"]
        began = time.perf_counter()
        with log.open("w") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [str(word) for word in (command, *flags, "--log-level", "ERROR")],
                stdout=output,
                stderr=output,
                cwd=path.parent,
            )
        self._wait()
        self.start_s = time.perf_counter() - began

    def _wait(self) -> None:
        while not self._answers():
            if self._process.poll() is not None:
                raise RuntimeError("the server has ended; .bench/*.log says why")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            Client(self.port).get("/info")
        except (OSError, RuntimeError):
            return False
        return True

    def client(self) -> Client:
        """A connection of its own."""
        return Client(self.port)

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(30)


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Do something again and again while the block lasts."""
    done = threading.Event()

    def again() -> None:
        while not done.is_set():
            work()

    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(again)
        try:
            yield
        finally:
            done.set()
        busy.result()


def probes(server: Server, path: str, count: int, pause: float = 0) -> list[float]:
    """The seconds that each of many answers took; fewer of a server that takes too long."""
    client = server.client()
    seconds: list[float] = []
    deadline = time.perf_counter() + PATIENCE_S
    while len(seconds) < count and time.perf_counter() < deadline:
        seconds.append(client.get(path))
        time.sleep(pause)
    return seconds


def while_writing(server: Server, count: int) -> list[float]:
    """``/health`` while music is written."""
    writer, stopper = server.client(), server.client()
    body = {**ENDLESS, "request_id": "endless"}
    with ThreadPoolExecutor(1) as threads:
        written = threads.submit(writer.post, "/generate", body)
        time.sleep(0.5)
        seconds = probes(server, "/health", count, PAUSE_S)
        ended = written.done()
        stopper.post("/generate/endless/cancel", {})
    if ended:
        raise RuntimeError("the music was too short")
    return seconds


def while_preparing(server: Server, count: int) -> list[float]:
    """``/health`` while large scores are prepared."""
    client = server.client()
    with beside(lambda: client.post("/generate", LARGE)):
        return probes(server, "/health", count, PAUSE_S)


def side_by_side(server: Server, _count: int) -> list[float]:
    """Seconds per token when eight requests come at a time."""

    def ask(seed: int) -> int:
        config = {**MUSIC["request"]["config"], "seed": seed}
        body = {**MUSIC, "request": {**MUSIC["request"], "config": config}}
        tokens: int = server.client().post("/generate", body)[1]["timing"]["gen_count"]
        return tokens

    began = time.perf_counter()
    with ThreadPoolExecutor(8) as threads:
        tokens = sum(threads.map(ask, range(8)))
    return [(time.perf_counter() - began) / tokens]


Measure: TypeAlias = "Callable[[Server, int], list[float]]"
"""Takes a server and how many values are wanted, where one costs little; seconds."""

OFTEN: dict[str, Measure] = {
    "GET /health": lambda server, count: probes(server, "/health", count),
    "GET /info": lambda server, count: probes(server, "/info", count),
    "GET /health while music is written": while_writing,
    "GET /health while large scores are prepared": while_preparing,
}
ONCE: dict[str, Measure] = {
    "plan_only of 20,000 notes": lambda server, _: [server.client().post("/generate", LARGE)[0]],
    "first note of a stream": lambda server, _: [server.client().first_note(MUSIC)],
    "8 requests at a time, per token": side_by_side,
}


def measured(
    measures: dict[str, Measure],
    servers: dict[str, Server],
    rounds: int,
    count: int,
) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """The values of each measure, by server, taken in turns."""
    for name, measure in measures.items():
        values: dict[str, list[float]] = {side: [] for side in servers}
        for _ in range(rounds):
            for side, server in servers.items():
                values[side] += measure(server, count)
        yield name, values


def quantile(values: list[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return sorted(values)[round(share * (len(values) - 1))]


def row(title: str, theirs: float, ours: float) -> None:
    """Print one line of the table."""
    ratio = theirs / ours
    print(f"{title:{WIDTH}} {theirs * 1000:>9.2f} ms {ours * 1000:>9.2f} ms {ratio:>7.2f}x")


def main() -> None:
    """Print a table of both, and how many times faster ours is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--probes", type=int, default=100, help="of each kind and round")
    given = parser.parse_args()
    path = checkpoint(FOLDER / "small.safetensors")
    with ExitStack() as stack:
        servers = {}
        for side, command in COMMANDS.items():
            servers[side] = Server(command, path, FOLDER / f"http-{side}.log")
            stack.callback(servers[side].close)
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
            f"torch {torch.__version__}, bentoml {version('bentoml')}, uvicorn {version('uvicorn')}"
        )
        print(f"{'':{WIDTH}} {'reference':>12} {'ours':>12} {'ratio':>8}")
        for name, values in measured(OFTEN, servers, given.rounds, given.probes):
            for label, share in (("median", 0.5), ("95 %", 0.95), ("longest", 1)):
                sides = (quantile(values[side], share) for side in ("reference", "ours"))
                row(f"{name}, {label}", *sides)
        for name, values in measured(ONCE, servers, given.rounds, given.probes):
            row(name, median(values["reference"]), median(values["ours"]))
        row("start until ready", servers["reference"].start_s, servers["ours"].start_s)


if __name__ == "__main__":
    main()
