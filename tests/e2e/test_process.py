"""How server processes start and end."""

import os
import signal
import socket
import sys
import threading
import time

import httpx
import psutil
import pytest
import safetensors.numpy

from tests.e2e.servers import CLI, ROOT, end, free_port, launch, served
from tests.e2e.test_server import long, short

pytestmark = pytest.mark.e2e


def refusal(home, *flags, command=CLI, seconds=60):
    """Start a server that cannot: its exit code and what it wrote to stderr."""
    process = launch([*command, *flags], home)
    try:
        return process.wait(seconds), (home / "err").read_text()
    finally:
        end(process)


def test_a_missing_checkpoint_ends_it_at_once(tmp_path):
    began = time.monotonic()
    code, err = refusal(tmp_path, "--ckpt", "none.safetensors")
    assert (code, err) == (1, "midigpt-http: --ckpt none.safetensors: no such file or directory\n")
    assert time.monotonic() - began < 10


def test_a_port_in_use_ends_it_at_once(tmp_path, checkpoint):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = ["--host", "127.0.0.1", "--port", str(busy.getsockname()[1])]
        code, err = refusal(tmp_path, "--ckpt", str(checkpoint), *address)
    assert code == 1
    assert err.startswith("midigpt-http: cannot listen on 127.0.0.1:")
    assert err.count("\n") == 1


@pytest.fixture
def damaged(checkpoint, tmp_path):
    """A checkpoint that looks like one until it is loaded."""
    tensors = safetensors.numpy.load_file(checkpoint)
    with safetensors.safe_open(checkpoint, framework="numpy") as file:
        metadata = file.metadata()
    tensors.popitem()
    safetensors.numpy.save_file(tensors, tmp_path / "damaged.safetensors", metadata)
    return tmp_path / "damaged.safetensors"


def test_a_checkpoint_that_cannot_be_loaded_ends_it(tmp_path, damaged):
    code, err = refusal(tmp_path, "--ckpt", str(damaged), "--port", str(free_port()))
    assert code == 1
    assert err.startswith(f"midigpt-http: {damaged}")
    assert err.count("\n") == 1


def test_a_device_that_is_not_there_ends_it(tmp_path, checkpoint):
    flags = ["--ckpt", str(checkpoint), "--device", "cuda:99", "--port", str(free_port())]
    code, err = refusal(tmp_path, *flags)
    assert code == 1
    assert "cuda:99" in err
    assert err.count("\n") == 1


def test_a_published_checkpoint_that_cannot_be_had_ends_it(tmp_path):
    code, err = refusal(tmp_path, "--pretrained", "yellow", "--port", str(free_port()))
    assert code == 1
    assert "yellow" in err
    assert err.count("\n") == 1


def test_an_interrupt_lets_running_requests_end(tmp_path, checkpoint):
    with served(tmp_path, "--ckpt", str(checkpoint)) as server, server.client() as client:
        body = long()
        body["request"]["tracks"][0]["bars"] = list(range(5))
        request = client.build_request("POST", "/generate", json=body)
        stopping = _stop_later(server.process.pid, 0.3)
        answer = client.send(request)
        stopping.join()
        assert answer.json()["status"] == "completed"
        assert server.process.wait(30) == 0


def _stop_later(pid, seconds):
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGINT))
    timer.start()
    return timer


def test_it_is_ready_when_the_model_is_loaded_and_ends_when_asked_to(tmp_path, checkpoint):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    flags = ["--ckpt", str(checkpoint), "--host", "127.0.0.1", "--port", str(port)]
    process = launch([*CLI, *flags], tmp_path)
    try:
        statuses = list(_statuses(url, process))
        assert set(statuses) == {503, 200}
        assert statuses == sorted(statuses, reverse=True)
        assert f"listening on {url}" in (tmp_path / "out").read_text()
        workers = psutil.Process(process.pid).children()
    finally:
        end(process)
    assert process.returncode == 0
    assert not any(worker.is_running() for worker in workers)


def _statuses(url, process):
    """Of ``/readyz``, until it is ready. Meanwhile the server is alive, and says so."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            status = httpx.get(f"{url}/readyz").status_code
        except httpx.TransportError:
            continue
        yield status
        if status == 200:
            return
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        # unless it has become ready this moment
        assert httpx.get(f"{url}/info").json().get("code", "loading") == "loading"
        time.sleep(0.05)


def test_bentoml_serves_the_checkout(tmp_path, checkpoint):
    command = [sys.executable, "-m", "bentoml", "serve", "--arg", f"ckpt={checkpoint}"]
    loud = {"__BENTOML_DEBUG_USAGE": "True"}  # makes BentoML print what it reports
    with served(tmp_path, command=command, cwd=ROOT, env=loud) as server:
        with server.client() as client:
            assert client.get("/info").json()["model"] == "tiny"
            assert client.post("/generate", json=short()).json()["status"] == "completed"
        assert server.stop() == 0
    assert "Tracking" not in server.log.read_text()


def test_bentoml_refuses_a_missing_checkpoint(tmp_path):
    command = [sys.executable, "-m", "bentoml", "serve", "--arg", "ckpt=none.safetensors"]
    code, err = refusal(tmp_path, "--port", str(free_port()), command=command)
    assert code == 1
    assert "none.safetensors: no such file" in err
    assert "Traceback" not in err
