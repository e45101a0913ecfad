"""The examples of the README do what it says."""

import json
import os
import re
import subprocess
import sys

import pytest

from midigpt import Score
from midigpt.server.config import deployment
from midigpt.server.settings import Settings
from tests.e2e.servers import ROOT, served

pytestmark = pytest.mark.e2e

# the section "Deploy" has tests of its own
README = re.sub(
    r"^## Deploy\n.*?(?=^## )", "", (ROOT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE
)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def example(language, word):
    [block] = [block for block in blocks(language) if word in block]
    return block


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("readme")) as server:
        yield server


@pytest.fixture
def run(server, tmp_path):
    """Runs an example against this server; what it writes to ``out.mid`` lands in a folder."""

    def run(text, *command):
        text = text.replace("http://localhost:8000", server.url)
        text = text.replace(".venv/bin/python", sys.executable)
        text = text.replace("out.mid", str(tmp_path / "out.mid"))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            [*command, text], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_without_a_checkpoint_the_built_in_model_is_served(server):
    with server.client() as client:
        info = client.get("/info").json()
    assert info["model"] == info["default_model"] == info["checkpoint"] == "starter"


def test_the_curl_example_fills_four_bars(run):
    answer = json.loads(run(example("sh", "curl"), "bash", "-c"))
    assert answer["status"] == "completed"
    assert [bool(bar["notes"]) for bar in answer["score"]["tracks"][0]["bars"]] == [True] * 4
    for member in ("seed", "timing", "tokens", "warnings"):
        assert member in answer


def test_the_midi_example_writes_a_file(run, server, tmp_path):
    command = example("sh", "infill_midi.py").strip()
    assert "new notes" in run(f"{command} --url {server.url}", "bash", "-c")
    assert Score.from_midi(tmp_path / "out.mid").tracks


def test_the_example_of_the_generated_client(run):
    assert run(example("python", "bentoml"), sys.executable, "-c").startswith("starter ")


def test_the_example_of_a_request(server):
    with server.client() as client:
        answer = client.post("/generate", json=json.loads(example("json", "score"))).json()
    assert (answer["status"], answer["warnings"]) == ("completed", [])
    assert answer["generated_bars"] == {"0": [2, 3], "1": [0, 1, 2, 3]}


def test_the_example_of_a_stream(run):
    frames = [
        line.split() for line in run(example("python", "httpx"), sys.executable, "-c").splitlines()
    ]
    assert {kind for kind, _ in frames} <= {"notes", "progress", "retry", "done"}
    assert frames[-1] == ["done", "0"]
    assert any(int(notes) for _, notes in frames)


def test_the_example_of_a_configuration_file(tmp_path):
    (tmp_path / "models.yaml").write_text(example("yaml", "default_model"))
    deployed = deployment(Settings(config=str(tmp_path / "models.yaml")))
    assert [entry.id for entry in deployed.models] == ["yellow", "mine"]
    assert (deployed.default_model, deployed.max_queue, deployed.warnings) == ("mine", 16, ())


def test_the_flags_are_those_of_the_command():
    told = set(re.findall(r"^\| `(--[a-z-]+)", README, re.MULTILINE)) | {"--port"}
    helped = subprocess.run(
        [sys.executable, "-m", "midigpt.server.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told == set(re.findall(r"--[a-z-]+", helped.stdout)) - {"--help"}


def test_the_example_without_a_server(run, tmp_path):
    run(example("python", "InferenceEngine"), sys.executable, "-c")
    assert Score.from_midi(tmp_path / "out.mid").tracks


def test_there_are_no_other_examples():
    assert [block.strip() for block in blocks("sh") if "http" not in block] == [
        "make serve",
        example("sh", "infill_midi.py").strip(),
    ]
    assert len(blocks("python")) == 3
    assert len(blocks("json")) == len(blocks("yaml")) == 1
