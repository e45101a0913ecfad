import socket
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from midigpt.server import config
from midigpt.server.config import ModelEntry
from midigpt.server.preflight import StartError, check_checkpoint, listen, url


def entry(**members):
    return ModelEntry(id="x", label="x", **members)


def refusal(path):
    with pytest.raises(StartError) as caught:
        check_checkpoint(entry(ckpt=str(path)))
    start, _, complaint = str(caught.value).partition(f"{path}: ")
    assert start == "--ckpt "
    assert "\n" not in complaint
    return complaint


def test_what_is_not_there(tmp_path):
    assert refusal(tmp_path / "x.pt") == "no such file or directory"


def test_what_named_it_is_told():
    origin = "models.yaml: models[1].ckpt"
    with pytest.raises(StartError, match=r"^models.yaml: models\[1\].ckpt none.pt: no such file"):
        check_checkpoint(entry(ckpt="none.pt", origin=origin))


def test_a_directory_needs_its_files(tmp_path):
    assert refusal(tmp_path) == "the directory has no config.json"
    (tmp_path / "config.json").touch()
    assert refusal(tmp_path) == "the directory has no model.pt"
    (tmp_path / "model.pt").touch()
    check_checkpoint(entry(ckpt=str(tmp_path)))


def test_other_files_are_no_checkpoints(tmp_path):
    (tmp_path / "notes.txt").write_text("to do")
    assert refusal(tmp_path / "notes.txt") == "must be a .safetensors or .pt file, or a directory"
    (tmp_path / "x.pt").write_text("to do")
    assert refusal(tmp_path / "x.pt") == "is not a .pt bundle"
    (tmp_path / "x.safetensors").write_text("to do, and much of it")
    assert refusal(tmp_path / "x.safetensors") == "is not a readable .safetensors file"


def test_a_zip_file_may_be_a_bundle(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as file:
        file.writestr("data.pkl", "")
    check_checkpoint(entry(ckpt=str(tmp_path / "x.pt")))


def test_the_header_of_a_checkpoint_is_read(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"x": np.zeros(1)}, path)
    assert refusal(path) == "has no encoder_config, so it is no checkpoint of ours"
    save_file({"x": np.zeros(1)}, path, {"encoder_config": "{}"})
    check_checkpoint(entry(ckpt=str(path)))


def test_published_checkpoints_are_not_looked_up_here():
    check_checkpoint(entry(pretrained="yellow"))


def test_the_built_in_model_may_be_missing(monkeypatch, tmp_path):
    check_checkpoint(entry())
    monkeypatch.setattr(config, "BUILT_IN", tmp_path / "starter.safetensors")
    with pytest.raises(StartError, match=r"the built-in model is missing .*: give --ckpt or"):
        check_checkpoint(entry())


def test_a_free_port():
    with listen("127.0.0.1", 0) as listener:
        host, port = listener.getsockname()
        assert (host, url(listener)) == ("127.0.0.1", f"http://127.0.0.1:{port}")
        assert port > 0
        socket.create_connection((host, port), timeout=5).close()


def test_addresses_of_version_6():
    try:
        listener = listen("::1", 0)
    except StartError:
        pytest.skip("this machine has none")
    with listener:
        assert url(listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_a_port_is_taken_from_the_check_on():
    with listen("localhost", 0) as listener:
        host, port, *_ = listener.getsockname()
        with pytest.raises(StartError, match=rf"^cannot listen on {host}:{port}: Address already"):
            listen(host, port)
    listen(host, port).close()


@pytest.mark.parametrize("host", ["999.1.1.1", "no such host.invalid", "x" * 300])
def test_an_address_that_does_not_exist(host):
    with pytest.raises(StartError, match=rf"^host {host}: no such address$"):
        listen(host, 80)
