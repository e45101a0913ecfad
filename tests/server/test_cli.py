import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from midigpt.server import cli
from midigpt.server.preflight import FAILURE_FILE
from midigpt.server.settings import Settings


def test_defaults():
    assert vars(cli.parse([])) == {
        "ckpt": None,
        "pretrained": None,
        "hf_filename": None,
        "hf_repo": None,
        "device": "auto",
        "host": "0.0.0.0",
        "port": 8000,
        "log_level": "INFO",
        "max_queue": 64,
        "max_body_bytes": 32 * 2**20,
    }


FLAGS = """
    --pretrained a/b --hf-filename c.pt --hf-repo d/e --device cuda:1
    --host ::1 --port 0 --log-level debug --max-queue 1 --max-body-bytes 1024
"""


def test_all_flags():
    given = cli.parse(FLAGS.split())
    assert cli.settings_of(given, "::1", 81) == Settings(
        pretrained="a/b",
        hf_filename="c.pt",
        hf_repo="d/e",
        device="cuda:1",
        log_level="DEBUG",
        max_queue=1,
        max_body_bytes=1024,
        address="http://[::1]:81",
    )
    assert cli.parse(["--ckpt", "x.pt"]).ckpt == "x.pt"


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--colour", "unrecognized arguments"),
        ("--ckpt a --pretrained b", "not allowed with argument"),
        ("--ckpt=", "must not be empty"),
        ("--pretrained=", "must not be empty"),
        ("--port http", "invalid"),
        ("--port 70000", "70000 is not at least 0 and at most 65535"),
        ("--port -1", "-1 is not at least 0"),
        ("--log-level LOUD", "invalid choice"),
        ("--max-queue 0", "0 is not at least 1"),
        ("--max-queue x", "invalid"),
        ("--max-body-bytes 1023", "1023 is not at least 1024"),
        ("--ckpt a --hf-filename x", "need --pretrained"),
        ("--hf-repo x/y", "need --pretrained"),
        ("--pretrained a/b", "needs --hf-filename"),
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


@pytest.mark.parametrize("flags", [["--ckpt", "none.pt"], ["--host", "999.1.1.1"]])
def test_a_server_that_cannot_start_says_so_in_one_line(flags, capsys):
    assert cli.main([*flags, "--port", "0"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("midigpt-http: ")
    assert err.count("\n") == 1


@pytest.fixture
def served(monkeypatch):
    """Calls of ``bentoml.serve``, which serves nothing."""
    calls = []
    fake = types.SimpleNamespace(serve=lambda *args, **kwargs: calls.append((args, kwargs)))
    monkeypatch.setitem(sys.modules, "bentoml", fake)
    monkeypatch.setattr(cli, "check_checkpoint", lambda _: None)
    monkeypatch.setattr(cli.os, "environ", {})
    return calls


def test_serving(served):
    assert cli.main(["--host", "127.0.0.1", "--port", "0", "--device", "cpu"]) == 0
    [(target, options)] = served
    assert target == ("midigpt.server.service:MidiGPT",)
    assert (options["host"], options["blocking"]) == ("127.0.0.1", True)
    assert options["args"]["address"] == f"http://127.0.0.1:{options['port']}"
    assert options["args"]["device"] == "cpu"
    assert cli.os.environ["BENTOML_DO_NOT_TRACK"] == "True"
    assert cli.os.environ["BENTOML_CONTAINERIZED"] == "1"
    assert not Path(cli.os.environ[FAILURE_FILE]).parent.exists()


@pytest.mark.usefixtures("served")
def test_a_worker_that_gave_up(monkeypatch, capsys):
    def serve(*_args, **_kwargs):
        Path(cli.os.environ[FAILURE_FILE]).write_text("the model is too large")

    monkeypatch.setattr(sys.modules["bentoml"], "serve", serve)
    assert cli.main(["--host", "127.0.0.1", "--port", "0"]) == 1
    assert capsys.readouterr().err == "midigpt-http: the model is too large\n"


def test_the_supervisor_never_loads_torch():
    code = "import sys, midigpt.server.cli, midigpt.server.service; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
