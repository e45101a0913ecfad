import json
import re
import shutil
from pathlib import Path

import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from midigpt.model import hub
from midigpt.server import store
from midigpt.server.models_cli import main
from tests.e2e.checkpoints import SMALL, YELLOW, untrained

REVISION = r"[0-9a-f]{12}"


@pytest.fixture(autouse=True)
def _store(tmp_path):
    (tmp_path / "store").mkdir()
    BentoMLContainer.model_store.set(ModelStore(tmp_path / "store"))
    yield
    BentoMLContainer.model_store.reset()


@pytest.fixture(scope="module")
def yellow(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("models") / "My Yellow.safetensors", YELLOW)


@pytest.fixture
def run(capsys):
    """Runs the command: its exit code and what it wrote to stdout and stderr."""

    def run(*argv):
        code = main(argv)
        return code, *capsys.readouterr()

    return run


def test_a_file_is_imported(run, yellow):
    code, out, err = run("import", "--ckpt", str(yellow))
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"my-yellow:{REVISION}\n", out)
    [(tag, card)] = store.contents()
    assert tag == out.strip()
    assert card.model_dump(exclude={"parameters", "revision"}) == {
        "family": "yellow",
        "layers": 2,
        "width": 64,
        "heads": 4,
        "context": 2048,
        "vocabulary": 647,
        "source": str(yellow),
        "licence": "unknown",
    }
    assert card.parameters == 313_984
    assert card.revision.startswith(f"sha256:{tag.partition(':')[2]}")
    assert store.find(tag)[1].read_bytes() == yellow.read_bytes()


@pytest.mark.parametrize("family", ["prism", "expressive"])
def test_the_family_is_told_by_the_encoder(run, tmp_path, family):
    attribute = {"prism": "key_signature", "expressive": "nomml"}[family]
    encoder = {**YELLOW, "attribute_controls": [{"name": attribute}]}
    path = untrained(tmp_path / "x.safetensors", encoder, n_layer=1, n_embd=8, n_positions=64)
    run("import", "--ckpt", str(path))
    [(_, card)] = store.contents()
    assert card.family == family


def test_the_same_file_twice_is_no_error(run, yellow):
    tag = run("import", "--ckpt", str(yellow))[1].strip()
    assert run("import", "--ckpt", str(yellow)) == (0, f"{tag} (was there already)\n", "")


def test_a_tag_and_a_licence(run, yellow):
    assert run("import", "--ckpt", str(yellow), "--tag", "own:v1", "--licence", "CC BY 4.0") == (
        0,
        "own:v1\n",
        "",
    )
    assert dict(store.contents())["own:v1"].licence == "CC BY 4.0"


def test_a_tag_without_a_version(run, yellow):
    assert re.fullmatch(
        rf"own:{REVISION}\n", run("import", "--ckpt", str(yellow), "--tag", "own")[1]
    )


def test_a_tag_that_is_taken(run, yellow):
    flags = ["import", "--ckpt", str(yellow), "--tag", "own:v1"]
    run(*flags)
    code, out, err = run(*flags)
    assert (code, out) == (1, "")
    assert err.startswith("midigpt-models: Item 'own:v1' already exists in the store")
    assert err.count("\n") == 1


def test_a_published_checkpoint(run, yellow, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--me--mine" / "snapshots" / commit / "yellow_medium.safetensors"
    cached.parent.mkdir(parents=True)
    shutil.copy(yellow, cached)
    asked = []

    def resolve(name, *, repo, filename):
        asked.append((name, repo, filename))
        return cached

    monkeypatch.setattr(hub, "resolve", resolve)
    assert run("import", "--pretrained", "yellow")[:2] == (0, "yellow:0123456789ab\n")
    assert asked == [("yellow", "Metacreation/MIDI-GPT", None)]
    [(_, card)] = store.contents()
    assert card.source == "Metacreation/MIDI-GPT/yellow_medium.safetensors"
    assert card.revision == commit
    assert card.licence == "see https://huggingface.co/Metacreation/MIDI-GPT"


def test_a_repository(run, yellow, monkeypatch):
    monkeypatch.setattr(hub, "resolve", lambda *_, **__: yellow)
    code, out, _ = run("import", "--pretrained", "me/Mine", "--hf-filename", "x.pt")
    assert code == 0
    assert re.fullmatch(rf"mine:{REVISION}\n", out)
    [(_, card)] = store.contents()
    assert card.licence == "see https://huggingface.co/me/Mine"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("none.pt", "midigpt-models: no such checkpoint: none.pt\n"),
        ("README.md", "midigpt-models: README.md: a checkpoint is a .safetensors file, a .pt"),
    ],
)
def test_what_is_no_checkpoint(run, name, complaint, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    code, out, err = run("import", "--ckpt", name)
    assert (code, out) == (1, "")
    assert err.startswith(complaint)
    assert list(store.contents()) == []


def test_a_network_that_does_not_fit_its_encoder(run, tmp_path, yellow):
    with safe_open(yellow, framework="numpy") as file:
        metadata = file.metadata()
    metadata["encoder_config"] = json.dumps(SMALL)
    save_file(load_file(yellow), tmp_path / "odd.safetensors", metadata)
    code, _, err = run("import", "--ckpt", str(tmp_path / "odd.safetensors"))
    assert code == 1
    assert "the network has 647 tokens" in err


def test_the_list(run, yellow):
    run("import", "--ckpt", str(yellow), "--tag", "b:v1", "--licence", "CC BY 4.0")
    run("import", "--ckpt", str(yellow), "--tag", "a:v1")
    code, out, err = run("list")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["tag", "family", "parameters", "source", "revision", "licence"]
    assert [row.split()[:4] for row in rows] == [
        ["a:v1", "yellow", "0.3", "M"],
        ["b:v1", "yellow", "0.3", "M"],
    ]
    assert rows[1].endswith("CC BY 4.0")


def test_an_empty_list(run):
    assert run("list") == (0, "tag  family  parameters  source  revision  licence\n", "")


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["import"],
        ["import", "--ckpt", "a", "--pretrained", "b"],
        ["import", "--ckpt", ""],
        ["import", "--ckpt", "a", "--hf-filename", "b"],
        ["import", "--pretrained", "me/mine"],
        ["import", "--ckpt", "a", "--tag", "No tag!"],
        ["import", "--ckpt", "a", "--tag", "a:b:c"],
    ],
)
def test_wrong_usage(run, flags):
    with pytest.raises(SystemExit, match="2"):
        run(*flags)
