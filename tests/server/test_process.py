"""The parts; what comes of them is shown by real processes in tests/e2e/test_process.py."""

import os
import signal
import socket
import sys

import bentoml
import pytest

from midigpt.server import process
from midigpt.server.preflight import StartError
from midigpt.server.settings import Settings


class Server:
    """Instead of uvicorn's: serves nothing."""

    def __init__(self, run):
        self._run = run

    def run(self, sockets):
        self._run(sockets)

    def handle_exit(self, number, frame):
        """Never called."""


@pytest.fixture
def serving(monkeypatch):
    """Serves a function for as long as it runs; signals and environment are put back."""
    monkeypatch.setattr(process.os, "environ", {})
    monkeypatch.setattr(process, "_process", process._Process())
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def serve(run):
        monkeypatch.setattr(process, "_server", lambda _: Server(run))
        with socket.socket() as listener:
            process.serve(Settings(), listener)

    yield serve
    for number, handler in before.items():
        signal.signal(number, handler)


def test_it_serves_until_the_service_ends(serving):
    seen = []
    serving(seen.extend)
    assert [type(listener) for listener in seen] == [socket.socket]
    assert os.environ["BENTOML_DO_NOT_TRACK"] == "True"


def test_a_service_that_gives_up(serving, monkeypatch):
    killed = []
    monkeypatch.setattr(process.os, "kill", lambda *args: killed.append(args))
    with pytest.raises(StartError, match=r"^no memory$"):
        serving(lambda _: process.give_up("no memory"))
    assert killed == [(os.getpid(), signal.SIGTERM)]


def test_a_service_that_does_not_start(serving):
    with pytest.raises(StartError, match=r"^the service could not start, its log says why$"):
        serving(lambda _: sys.exit(3))


def test_giving_up_elsewhere_is_for_others_to_decide(monkeypatch):
    monkeypatch.setattr(process.os, "kill", None)
    process.give_up("no memory")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(StartError) as caught:
        process._server(Settings())
    assert str(caught.value) == "the package uvicorn is missing: pip install 'midigpt[http]'"


@pytest.mark.parametrize("worker", [None, 1])
def test_an_idle_server_ends_with_its_supervisor_if_there_is_one(monkeypatch, worker):
    killed = []
    monkeypatch.setattr(bentoml.server_context, "worker_index", worker)
    monkeypatch.setattr(process.os, "kill", lambda *args: killed.append(args))
    assert process.supervised() == (worker is not None)
    process.end_server()
    assert killed == [(os.getppid() if worker else os.getpid(), signal.SIGTERM)]


def test_a_parent_is_watched_only_if_it_is_a_supervisor(monkeypatch):
    started = []
    monkeypatch.setattr(bentoml.server_context, "worker_index", None)
    monkeypatch.setattr(process.threading, "Thread", started.append)
    process.watch_parent()
    assert started == []


def test_the_end_of_a_supervisor(monkeypatch):
    parents, killed = [7, 7, 1], []
    monkeypatch.setattr(process, "POLL_S", 0)
    monkeypatch.setattr(process.os, "getppid", lambda: parents.pop(0))
    monkeypatch.setattr(process.os, "kill", lambda *args: killed.append((len(parents), *args)))
    process._end_after(7)
    assert killed == [(0, os.getpid(), signal.SIGTERM)]
