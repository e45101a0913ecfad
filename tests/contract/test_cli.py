"""The recorded command lines, each given to a real ``midigpt-http``."""

import shutil
import socket

import httpx
import pytest
import torch

from tests.contract.vectors import FOLDER, load, needs_vectors
from tests.e2e.servers import CLI, end, free_port, launch, output, wait_until_ready

pytestmark = [needs_vectors, pytest.mark.e2e]

CASES = load("http/cli.json").get("cases", [])
CHECKPOINT = FOLDER / "inference" / "checkpoints" / "plain.safetensors"
MODELS = """
models:
  - {id: yellow, ckpt: yellow.safetensors}
  - {id: second, ckpt: yellow.safetensors, device: cpu}
  - {id: third, ckpt: yellow.safetensors, max_parallel: 2}
"""


@pytest.fixture
def folder(tmp_path):
    """The files that the cases name, as their note says."""
    shutil.copy(CHECKPOINT, tmp_path / "yellow.safetensors")
    (tmp_path / "emptydir").mkdir()
    for name in ("garbage.safetensors", "garbage.pt", "notes.txt"):
        (tmp_path / name).write_text("this is no checkpoint at all, whatever it is called")
    (tmp_path / "models.yaml").write_text(MODELS)
    return tmp_path


@pytest.fixture
def busy_port():
    with socket.create_server(("0.0.0.0", 0)) as busy:
        yield busy.getsockname()[1]


@pytest.fixture
def start(folder, busy_port):
    """Starts a case in the folder, on a free port."""
    port, started = free_port(), []

    def start(case):
        if "config_text" in case:
            (folder / f"cfg_{case['name'].removeprefix('config_')}.yaml").write_text(
                case["config_text"]
            )
        argv = [text.format(free_port=port, busy_port=busy_port) for text in case["argv"]]
        process = launch([*CLI, *argv], folder / "home", cwd=folder)
        started.append(process)
        return process, f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        end(process)


def cases(*, serving):
    chosen = [case for case in CASES if (case["expected"] == "serves") == serving]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case["name"])


@cases(serving=True)
def test_it_serves(case, start, folder):
    process, url = start(case)
    wait_until_ready(url, process, folder / "home")
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}
    models = httpx.get(f"{url}/models").json()["models"]
    assert len(models) == (3 if case["name"] == "config_ok" else 1)
    end(process)
    assert process.returncode == 0
    assert "Traceback" not in output(folder / "home")


@cases(serving=False)
def test_it_ends(case, start, folder):
    if case["name"] == "device_cuda_absent" and torch.cuda.is_available():
        pytest.skip("this machine has the device")
    process, _ = start(case)
    code = process.wait(60)
    expected = case["expected"]
    assert code in (expected if isinstance(expected, list) else [expected])
    err = (folder / "home" / "err").read_text()
    assert "Traceback" not in output(folder / "home")
    if code == 0:
        assert err == ""
    else:
        *_, last = err.splitlines()
        assert last.startswith("midigpt-http: ")
    if code == 1:
        assert err.count("\n") == 1
    if "config_text" in case:
        assert f"cfg_{case['name'].removeprefix('config_')}.yaml: " in err
