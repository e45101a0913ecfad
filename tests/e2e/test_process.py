"""How server processes start, or do not."""

import socket
import sys
import time

import httpx
import psutil
import pytest
import safetensors.numpy

from tests.e2e.asking import short
from tests.e2e.servers import (
    CLI,
    end,
    free_port,
    is_free,
    launch,
    output,
    served,
    wait_for_line,
)

pytestmark = pytest.mark.e2e
BENTOML = [sys.executable, "-m", "bentoml", "serve"]


def refusal(home, *flags, command=CLI, seconds=60):
    """Start a server that cannot: its exit code and what it wrote to stderr."""
    process = launch([*command, *flags], home)
    try:
        return process.wait(seconds), (home / "err").read_text()
    finally:
        end(process)


# how it does not start


def test_a_missing_checkpoint_ends_it_at_once(tmp_path):
    began = time.monotonic()
    code, err = refusal(tmp_path, "--ckpt", "none.safetensors")
    assert (code, err) == (1, "midigpt-http: --ckpt none.safetensors: no such file or directory\n")
    assert time.monotonic() - began < 10


def test_a_port_in_use_ends_it_at_once(tmp_path, checkpoint):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        address = ["--host", "127.0.0.1", "--port", str(port)]
        code, err = refusal(tmp_path, "--ckpt", str(checkpoint), *address)
    assert code == 1
    assert err == f"midigpt-http: cannot listen on 127.0.0.1:{port}: Address already in use\n"


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
    assert "Traceback" not in output(tmp_path)


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


# how it starts


def test_it_is_ready_when_the_model_is_loaded_and_ends_when_asked_to(tmp_path, checkpoint):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    flags = ["--ckpt", str(checkpoint), "--host", "127.0.0.1", "--port", str(port)]
    process = launch([*CLI, *flags], tmp_path)
    try:
        statuses = list(_statuses(url, process))
        assert set(statuses) == {503, 200}
        assert statuses == sorted(statuses, reverse=True)
        assert f"listening on {url}" in output(tmp_path)
        assert psutil.Process(process.pid).children() == []
    finally:
        end(process)
    assert process.returncode == 0
    assert is_free(port)
    assert (tmp_path / "err").read_text() == ""


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


def test_a_free_port_is_told(tmp_path, checkpoint):
    flags = ["--ckpt", str(checkpoint), "--host", "127.0.0.1", "--port", "0"]
    process = launch([*CLI, *flags], tmp_path)
    try:
        port = wait_for_line(r"^midigpt-http: port (\d+)$", tmp_path, process)
        url = wait_for_line(r"listening on (http:\S+)", tmp_path, process)
        assert url == f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/info").json()["model"] == "tiny"
    finally:
        end(process)


def write_config(folder, checkpoint, **changes):
    """A configuration file with two models beside each other; its path."""
    (folder / "tiny.safetensors").write_bytes(checkpoint.read_bytes())
    lines = [
        *(f"{key}: {value}" for key, value in changes.items()),
        "default_model: two",
        "hf_token: not-to-be-told",
        "colour: blue",
        "models:",
        "  - {id: one, ckpt: tiny.safetensors}",
        "  - {id: two, ckpt: tiny.safetensors, device: cpu}",
    ]
    path = folder / "models.yaml"
    path.write_text("\n".join(lines))
    return path


def test_a_configuration_file(tmp_path, checkpoint):
    port = free_port()
    write_config(tmp_path, checkpoint, host="127.0.0.1", port=port, max_queue=7)
    flags = ["--config", "models.yaml", "--port", "1", "--max-queue", "8"]
    process = launch([*CLI, *flags], tmp_path, cwd=tmp_path)
    try:
        url = wait_for_line(r"listening on (http:\S+)", tmp_path, process)
        assert url == f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/models").json() == {
            "default_model": "two",
            "models": [
                {"id": "one", "checkpoint": "tiny.safetensors"},
                {"id": "two", "checkpoint": "tiny.safetensors"},
            ],
        }
        assert httpx.get(f"{url}/health").headers["x-max-queue"] == "7"
        assert "not-to-be-told" not in " ".join(psutil.Process(process.pid).cmdline())
    finally:
        end(process)
    log = output(tmp_path)
    assert log.count("models.yaml: colour means nothing and was ignored") == 1
    assert "not-to-be-told" not in log


def test_nothing_is_asked_of_the_network(tmp_path, checkpoint):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
        env = dict.fromkeys(names, address) | {"HF_HUB_OFFLINE": "0", "NO_PROXY": ""}
        with served(tmp_path, "--ckpt", str(checkpoint), env=env) as server:
            with server.client() as client:
                assert client.post("/generate", json=short()).json()["status"] == "completed"
            assert server.stop() == 0
        with pytest.raises(BlockingIOError):
            proxy.accept()


# under BentoML's own command, which has a supervisor and a worker


def test_bentoml_serves_the_checkout(tmp_path, checkpoint):
    command = [*BENTOML, "--arg", f"ckpt={checkpoint}"]
    loud = {"__BENTOML_DEBUG_USAGE": "True"}  # makes BentoML print what it reports
    with served(tmp_path, command=command, env=loud) as server:
        with server.client() as client:
            assert client.get("/info").json()["model"] == "tiny"
            assert client.post("/generate", json=short()).json()["status"] == "completed"
        assert server.stop() == 0
    assert "Tracking" not in server.log.read_text()


def test_bentoml_serves_a_configuration_file_and_nothing_is_left_of_it(tmp_path, checkpoint):
    path = write_config(tmp_path, checkpoint)
    path.write_text(path.read_text().replace("tiny.safetensors", str(checkpoint)))
    with served(tmp_path, command=[*BENTOML, "--arg", f"config={path}"]) as server:
        with server.client() as client:
            assert client.get("/models").json()["default_model"] == "two"
        [worker] = psutil.Process(server.process.pid).children()
        assert "not-to-be-told" not in " ".join(worker.cmdline())
        server.process.kill()
        server.process.wait(5)
        worker.wait(20)
    assert "not-to-be-told" not in output(tmp_path)


def test_bentoml_ends_when_idle(tmp_path, checkpoint):
    arguments = ["--arg", f"ckpt={checkpoint}", "--arg", "idle_timeout=1"]
    with served(tmp_path, command=[*BENTOML, *arguments]) as server:
        assert server.process.wait(30) == 0


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("ckpt=none.safetensors", "--ckpt none.safetensors: no such file or directory"),
        ("config=none.yaml", "--config none.yaml: No such file or directory"),
    ],
)
def test_bentoml_refuses_what_is_not_there(tmp_path, argument, complaint):
    flags = ["--arg", argument, "--port", str(free_port())]
    code, err = refusal(tmp_path, *flags, command=BENTOML)
    assert code == 1
    assert complaint in err
    assert "Traceback" not in err
