import os
import subprocess
import sys
from pathlib import Path

import pytest

from midigpt.server import cli
from midigpt.server.preflight import StartError
from midigpt.server.settings import Settings


def test_defaults():
    assert vars(cli.parse([])) == {
        "config": None,
        "ckpt": None,
        "pretrained": None,
        "bento_model": None,
        "hf_filename": None,
        "hf_repo": None,
        "device": "auto",
        "precision": "auto",
        "host": "0.0.0.0",
        "port": 8000,
        "log_level": "INFO",
        "max_parallel": 1,
        "max_queue": 64,
        "max_generation_seconds": 0,
        "idle_timeout": 0,
        "max_body_bytes": 32 * 2**20,
        "cors_origin": [],
    }
    assert cli.settings_of(cli.parse([])) == Settings()


FLAGS = """
    --pretrained a/b --hf-filename c.pt --hf-repo d/e --device cuda:1 --precision bf16
    --max-parallel 2
    --host ::1 --port 0 --log-level debug --max-queue 1 --max-body-bytes 1024
    --max-generation-seconds 2.5 --idle-timeout 60
    --cors-origin https://a.example --cors-origin http://localhost:3000
"""


def test_all_flags():
    given = cli.parse(FLAGS.split())
    assert (given.host, given.port) == ("::1", 0)
    assert cli.settings_of(given) == Settings(
        pretrained="a/b",
        hf_filename="c.pt",
        hf_repo="d/e",
        device="cuda:1",
        precision="bf16",
        max_parallel=2,
        log_level="DEBUG",
        max_queue=1,
        max_body_bytes=1024,
        max_generation_seconds=2.5,
        idle_timeout=60,
        cors_origins="https://a.example,http://localhost:3000",
    )


@pytest.mark.parametrize("source", ["config", "ckpt", "pretrained", "bento_model"])
def test_the_sources_of_models(source):
    given = cli.parse([f"--{source.replace('_', '-')}", "x"])
    assert cli.settings_of(given) == Settings(**{source: "x"})


@pytest.mark.parametrize("origin", ["*", "null", "https://a.example:8443", "vscode-webview://x"])
def test_origins(origin):
    assert cli.parse(["--cors-origin", origin]).cors_origin == [origin]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--colour", "unrecognized arguments: --colour"),
        ("--ckpt a --pretrained b", "--pretrained: not allowed with argument --ckpt"),
        ("--config a --ckpt b", "--ckpt: not allowed with argument --config"),
        ("--pretrained a --config b", "--config: not allowed with argument --pretrained"),
        ("--bento-model a --config b", "--config: not allowed with argument --bento-model"),
        ("--config=", "--config: must not be empty"),
        ("--ckpt=", "--ckpt: must not be empty"),
        ("--pretrained=", "--pretrained: must not be empty"),
        ("--bento-model=", "--bento-model: must not be empty"),
        ("--port http", "--port: invalid integer value: 'http'"),
        ("--port 70000", "--port: 70000 is not at least 0 and at most 65535"),
        ("--port -1", "--port: -1 is not at least 0"),
        ("--log-level LOUD", "--log-level: invalid choice: 'LOUD'"),
        ("--max-queue 0", "--max-queue: 0 is not at least 1"),
        ("--max-queue x", "--max-queue: invalid integer value: 'x'"),
        ("--max-parallel 0", "--max-parallel: 0 is not at least 1"),
        ("--idle-timeout -5", "--idle-timeout: -5 is not a number of seconds, at least 0"),
        ("--idle-timeout inf", "--idle-timeout: inf is not a number of seconds"),
        ("--idle-timeout soon", "--idle-timeout: invalid seconds value: 'soon'"),
        (
            "--max-generation-seconds nan",
            "--max-generation-seconds: nan is not a number of seconds",
        ),
        ("--max-body-bytes 1023", "--max-body-bytes: 1023 is not at least 1024"),
        ("--device abacus", "--device: abacus is not cpu, cuda, cuda:N, mps or auto"),
        ("--cors-origin=", "--cors-origin: must not be empty"),
        ("--cors-origin a.example", "--cors-origin a.example: must be like https://example.org"),
        ("--ckpt a --hf-filename x", "--hf-filename and --hf-repo need --pretrained"),
        ("--config a --hf-repo x/y", "--hf-filename and --hf-repo need --pretrained"),
        ("--pretrained a/b", "--pretrained with a repository needs --hf-filename"),
    ],
)
def test_wrong_usage_is_explained(flags, complaint, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(flags.split())
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    assert "--max-body-bytes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--ckpt none.pt", "--ckpt none.pt: no such file or directory"),
        ("--config none.yaml", "--config none.yaml: No such file or directory"),
        ("--bento-model none:v1", "--bento-model none:v1: is not in the Bento model store"),
        ("--host 999.1.1.1", "host 999.1.1.1: no such address"),
    ],
)
def test_a_server_that_cannot_start_says_so_in_one_line(flags, complaint, capsys):
    assert cli.main([*flags.split(), "--port", "0"]) == 1
    assert capsys.readouterr() == ("", f"midigpt-http: {complaint}\n")


@pytest.fixture
def served(monkeypatch):
    """What would be served, and where."""
    calls = []

    def serve(settings, listener):
        calls.append((settings, listener.getsockname()))

    monkeypatch.setattr(cli, "serve", serve)
    monkeypatch.setattr(cli, "check_checkpoint", lambda _: None)
    return calls


def test_serving(served, capsys):
    assert cli.main(["--host", "127.0.0.1", "--port", "0", "--ckpt", "x.pt"]) == 0
    [(settings, (host, port))] = served
    assert settings == Settings(ckpt="x.pt", address=f"http://127.0.0.1:{port}")
    assert host == "127.0.0.1"
    assert capsys.readouterr() == (f"midigpt-http: port {port}\n", "")


def test_the_address_in_a_file_overrides_the_flags(served, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = "models: [{id: a, ckpt: x.pt}]"
    Path("models.yaml").write_text(f"host: 127.0.0.1\nport: 0\n{models}")
    assert cli.main(["--config", "models.yaml", "--host", "999.1.1.1", "--port", "1"]) == 0
    [(settings, (host, port))] = served
    assert settings == Settings(config="models.yaml", address=f"http://127.0.0.1:{port}")
    assert host == "127.0.0.1"
    assert port != 1


def test_every_model_of_a_file_is_looked_at(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("x").mkdir()
    for name in ("config.json", "model.pt"):
        Path("x", name).touch()
    Path("models.yaml").write_text("models: [{id: a, ckpt: x}, {id: b, ckpt: none.pt}]")
    assert cli.main(["--config", "models.yaml"]) == 1
    complaint = "models.yaml: models[1].ckpt none.pt: no such file or directory"
    assert capsys.readouterr().err == f"midigpt-http: {complaint}\n"


@pytest.mark.usefixtures("served")
def test_a_service_that_failed(monkeypatch, capsys):
    def serve(_settings, _listener):
        raise StartError("the model is too large")

    monkeypatch.setattr(cli, "serve", serve)
    assert cli.main(["--host", "127.0.0.1", "--port", "0"]) == 1
    assert capsys.readouterr().err == "midigpt-http: the model is too large\n"


def imported(code):
    """Which of the large packages some code imports."""
    code += "; import sys; print(*sorted({'bentoml', 'starlette', 'torch'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return answer.stdout.split()


def test_wrong_settings_do_not_wait_for_large_packages():
    assert imported("import midigpt.server.cli") == []


def test_the_service_answers_before_torch_is_loaded():
    assert "torch" not in imported("import midigpt.server.service")
