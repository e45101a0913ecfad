from pathlib import Path

import pytest

from midigpt.model import hub
from midigpt.server import config
from midigpt.server.config import Deployment, ModelEntry, deployment
from midigpt.server.preflight import StartError
from midigpt.server.settings import BUILT_IN, Settings


def only(**given):
    """The one model of some settings."""
    whole = deployment(Settings(**given))
    [entry] = whole.models
    assert whole.default_model == entry.id
    return entry


@pytest.fixture
def written(tmp_path, monkeypatch):
    """What a configuration file says, with settings beside it."""
    monkeypatch.chdir(tmp_path)

    def read(text, **given):
        Path("models.yaml").write_text(text)
        return deployment(Settings(config="models.yaml", **given))

    return read


def refusal(read, text):
    with pytest.raises(StartError) as caught:
        read(text)
    return str(caught.value)


def test_the_default_repository_is_the_hub_s():
    assert config.DEFAULT_REPO == hub.DEFAULT_REPO


@pytest.mark.parametrize(
    ("given", "id_", "label"),
    [
        ({"ckpt": "models/my model.pt"}, "my_model", "models/my model.pt"),
        ({"ckpt": "none.safetensors"}, "none", "none.safetensors"),
        ({"pretrained": "yellow"}, "yellow", "yellow"),
        ({"pretrained": "yellow", "hf_repo": config.DEFAULT_REPO}, "yellow", "yellow"),
        ({"pretrained": "yellow", "hf_repo": "me/mine"}, "yellow", "me/mine/yellow"),
        ({"pretrained": "me/mine", "hf_filename": "a/b.pt"}, "b", "me/mine/a/b.pt"),
    ],
)
def test_ids_and_labels(given, id_, label):
    entry = only(**given)
    assert (entry.id, entry.label) == (id_, label)


def test_a_directory_has_its_own_name(tmp_path, monkeypatch):
    folder = tmp_path / "yellow.v2"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert (only(ckpt=str(folder)).id, only(ckpt=".").id) == ("yellow.v2", "yellow.v2")
    assert only(ckpt=".").label == "."


def test_the_built_in_model():
    assert only() == ModelEntry(id="starter", label="starter")
    assert only().path == BUILT_IN
    assert BUILT_IN.exists()


SHARES = {"precision": "int8", "max_parallel": 3}


def test_the_flags_of_a_single_model():
    entry = only(pretrained="a/b", hf_filename="c.pt", hf_repo="d/e", device="cpu", **SHARES)
    assert entry == ModelEntry(
        id="c",
        label="a/b/c.pt",
        pretrained="a/b",
        hf_filename="c.pt",
        hf_repo="d/e",
        device="cpu",
        **SHARES,
    )


LIMITS = {
    "idle_timeout": 1.5,
    "log_level": "ERROR",
    "max_queue": 2,
    "max_generation_seconds": 3.0,
    "max_body_bytes": 4096,
}


def test_the_flags_of_the_server():
    whole = deployment(Settings(**LIMITS))
    assert whole == Deployment(models=whole.models, default_model="starter", **LIMITS)
    assert (whole.host, whole.port) == (None, None)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            {"ckpt": "a", "pretrained": "b"},
            "give at most one of config, ckpt, pretrained and bento_model",
        ),
        (
            {"config": "a", "bento_model": "b"},
            "give at most one of config, ckpt, pretrained and bento_model",
        ),
        ({"pretrained": "a/b"}, "a/b is a repository: give hf_filename as well"),
    ],
)
def test_contradictions(given, complaint):
    with pytest.raises(StartError) as caught:
        deployment(Settings(**given))
    assert str(caught.value) == complaint


def test_a_model_of_the_store(monkeypatch, tmp_path):
    monkeypatch.setattr(config.store, "find", lambda tag: (f"{tag}:v1", tmp_path / "x.pt"))
    assert only(bento_model="mine", device="cpu") == ModelEntry(
        id="mine",
        label="mine:v1",
        ckpt=str(tmp_path / "x.pt"),
        device="cpu",
        origin="--bento-model",
    )


WHOLE = """
host: 127.0.0.1
port: 81
idle_timeout: 1.5
log_level: error
max_queue: 2
max_generation_seconds: 3
max_body_bytes: 4096
hf_repo: me/mine
hf_token: secret-1
device: cpu
precision: int8
max_parallel: 2
default_model: b
models:
  - {id: a, pretrained: yellow}
  - id: b
    ckpt: folder/x.pt
    device: cuda:1
    precision: bf16
    max_parallel: 4
  - id: c
    pretrained: you/yours
    hf_filename: y.pt
    hf_token: secret-2
"""


def test_a_whole_file(written):
    whole = written(WHOLE)
    common = {"hf_repo": "me/mine", "hf_token": "secret-1", "device": "cpu"}
    common |= {"precision": "int8", "max_parallel": 2}
    assert whole == Deployment(
        models=(
            ModelEntry(
                id="a",
                label="me/mine/yellow",
                pretrained="yellow",
                origin="models.yaml: models[0].ckpt",
                **common,
            ),
            ModelEntry(
                id="b",
                label="folder/x.pt",
                ckpt="folder/x.pt",
                origin="models.yaml: models[1].ckpt",
                **common | {"device": "cuda:1", "precision": "bf16", "max_parallel": 4},
            ),
            ModelEntry(
                id="c",
                label="you/yours/y.pt",
                pretrained="you/yours",
                hf_filename="y.pt",
                origin="models.yaml: models[2].ckpt",
                **common | {"hf_token": "secret-2"},
            ),
        ),
        default_model="b",
        host="127.0.0.1",
        port=81,
        **LIMITS,
    )
    assert whole.models[1].path == Path("folder/x.pt")
    assert "secret" not in repr(whole)


ONE = "models: [{id: a, ckpt: x.pt}]"


def test_the_file_overrides_the_flags_and_the_flags_its_defaults(written):
    flags = {"max_queue": 9, "idle_timeout": 9, "device": "mps", "max_parallel": 9}
    assert written(f"max_queue: 2\n{ONE}", **flags).max_queue == 2
    whole = written(ONE, **flags)
    assert (whole.max_queue, whole.idle_timeout, whole.default_model) == (9, 9, "a")
    assert (whole.models[0].device, whole.models[0].max_parallel) == ("mps", 9)
    assert written(f"device: cpu\n{ONE}", **flags).models[0].device == "cpu"


def test_keys_that_mean_nothing(written):
    text = "colour: blue\nmodels: [{id: a, ckpt: x.pt, size: 1, hf_filename: y.pt}]"
    assert written(text).warnings == (
        "models.yaml: colour means nothing and was ignored",
        "models.yaml: models[0].size means nothing and was ignored",
        "models.yaml: models[0].hf_filename means nothing and was ignored",
    )
    assert written(ONE).warnings == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "models: [{id: a, ckpt: x.pt, pretrained: y}]",
            "models[0] must have exactly one of ckpt and pretrained",
        ),
        ("models: [{id: a}]", "models[0] must have exactly one of ckpt and pretrained"),
        ('models: [{id: a, ckpt: ""}]', "models[0] must have exactly one of ckpt and pretrained"),
        (
            "models: [{id: a, pretrained: b/c}]",
            "models[0].hf_filename is missing: pretrained names a repository",
        ),
        (
            "models: [{id: a, ckpt: x.pt}, {id: a, ckpt: y.pt}]",
            "models[1].id a is taken by another model",
        ),
        (f"default_model: z\n{ONE}", "default_model must be one of a"),
    ],
)
def test_what_contradicts_itself_in_a_file(written, text, complaint):
    assert refusal(written, text) == f"models.yaml: {complaint}"
