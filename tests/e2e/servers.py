"""Real server processes for tests: started, waited for, stopped, and nothing else touched."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parents[2]
CLI = [sys.executable, "-m", "midigpt.server.cli"]
START_S = 90
STOP_S = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port):
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def environment(home):
    """Nothing of the machine's own BentoML state, and no network."""
    inherited = {name: value for name, value in os.environ.items() if "DO_NOT_TRACK" not in name}
    return {
        **inherited,
        "BENTOML_HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(home / "hub"),
        "OMP_NUM_THREADS": "1",
    }


@dataclass
class Server:
    """A server that is ready; what it has written so far is in ``log``."""

    url: str
    process: subprocess.Popen
    log: Path

    def client(self):
        return httpx.Client(
            base_url=self.url, timeout=120, verify=False
        )  # reading certificates takes time

    def stop(self):
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


def launch(command, home, **options):
    """Start a command in the checkout; its output goes to files in ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "out").open("w") as out, (home / "err").open("w") as err:
        return subprocess.Popen(
            command,
            cwd=options.pop("cwd", ROOT),
            env={**environment(home), **options.pop("env", {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            **options,
        )


def output(home):
    """Everything that a server has written."""
    return (home / "out").read_text() + (home / "err").read_text()


def wait_for_line(pattern, home, process):
    """Until a server has written such a line; the first group of the pattern."""
    deadline = time.monotonic() + START_S
    while True:
        found = re.search(pattern, (home / "out").read_text(), re.MULTILINE)
        if found:
            return found[1]
        waiting = process.poll() is None and time.monotonic() < deadline
        assert waiting, f"no {pattern} (exit code {process.poll()}):\n{output(home)}"
        time.sleep(0.05)


def wait_until_ready(url, process, home):
    """Until the model is loaded."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not ready (exit code {process.poll()}):\n{output(home)}")


@contextmanager
def served(home, *flags, command=CLI, **options):
    """A server for the length of a block."""
    port = free_port()
    process = launch(
        [*command, "--host", "127.0.0.1", "--port", str(port), *flags], home, **options
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, home)
        yield Server(url, process, home / "out")
    finally:
        end(process)


def end(process):
    """Stop a server and its worker, by force if it comes to that."""
    if process.poll() is not None:
        return
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()
