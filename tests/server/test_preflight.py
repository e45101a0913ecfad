import os
import signal
import socket
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from midigpt.server import preflight
from midigpt.server.preflight import StartError, check_checkpoint, free_address, give_up
from midigpt.server.settings import BUILT_IN, Settings


def refusal(path):
    with pytest.raises(StartError) as caught:
        check_checkpoint(Settings(ckpt=str(path)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_not_there(tmp_path):
    assert refusal(tmp_path / "x.pt") == f"--ckpt {tmp_path}/x.pt: no such file or directory"


def test_a_directory_needs_its_files(tmp_path):
    assert refusal(tmp_path).endswith("the directory has no config.json")
    (tmp_path / "config.json").touch()
    assert refusal(tmp_path).endswith("the directory has no model.pt")
    (tmp_path / "model.pt").touch()
    check_checkpoint(Settings(ckpt=str(tmp_path)))


def test_other_files_are_no_checkpoints(tmp_path):
    (tmp_path / "notes.txt").write_text("to do")
    assert "must be a .safetensors or .pt file" in refusal(tmp_path / "notes.txt")
    (tmp_path / "x.pt").write_text("to do")
    assert refusal(tmp_path / "x.pt").endswith("is not a .pt bundle")
    (tmp_path / "x.safetensors").write_text("to do, and much of it")
    assert refusal(tmp_path / "x.safetensors").endswith("is not a readable .safetensors file")


def test_a_zip_file_may_be_a_bundle(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as file:
        file.writestr("data.pkl", "")
    check_checkpoint(Settings(ckpt=str(tmp_path / "x.pt")))


def test_the_header_of_a_checkpoint_is_read(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"x": np.zeros(1)}, path)
    assert refusal(path).endswith("has no encoder_config, so it is no checkpoint of ours")
    save_file({"x": np.zeros(1)}, path, {"encoder_config": "{}"})
    check_checkpoint(Settings(ckpt=str(path)))


def test_published_checkpoints_are_not_looked_up_here():
    check_checkpoint(Settings(pretrained="yellow"))


def test_the_built_in_model_is_the_default(monkeypatch, tmp_path):
    assert Settings().path == BUILT_IN
    monkeypatch.setattr("midigpt.server.settings.BUILT_IN", tmp_path / "starter.safetensors")
    with pytest.raises(StartError, match=r"the built-in model is missing .*: give --ckpt or"):
        check_checkpoint(Settings())


def test_an_address_and_a_free_port():
    host, port = free_address("localhost", 0)
    assert host in {"127.0.0.1", "::1"}
    assert port > 0
    assert free_address("127.0.0.1", port) == ("127.0.0.1", port)


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(StartError, match=rf"cannot listen on 127.0.0.1:{port}: Address"):
            free_address("127.0.0.1", port)


@pytest.mark.parametrize("host", ["999.1.1.1", "no such host.invalid", "x" * 300])
def test_an_address_that_does_not_exist(host):
    with pytest.raises(StartError, match="no such address"):
        free_address(host, 80)


def test_a_worker_leaves_its_reason_and_stops_the_supervisor(monkeypatch, tmp_path):
    stopped = []
    monkeypatch.setattr(preflight.os, "kill", lambda *args: stopped.append(args))
    monkeypatch.delenv(preflight.FAILURE_FILE, raising=False)
    give_up("nobody reads this")
    assert stopped == []
    monkeypatch.setenv(preflight.FAILURE_FILE, str(tmp_path / "reason"))
    give_up("no memory")
    assert (tmp_path / "reason").read_text() == "no memory"
    assert stopped == [(os.getppid(), signal.SIGTERM)]
