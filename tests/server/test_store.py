from pathlib import Path

import bentoml
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore

from midigpt.server import store
from midigpt.server.preflight import StartError
from midigpt.server.store import Card, StoreError, find

CARD = Card(
    family="yellow",
    layers=2,
    width=32,
    heads=4,
    context=2048,
    vocabulary=647,
    parameters=132_416,
    source="mine.safetensors",
    revision="sha256:00",
    licence="unknown",
)


@pytest.fixture
def put(tmp_path):
    """Puts a model with some empty files into a store of its own."""

    def put(*names):
        with bentoml.models.create("mine:v1") as model:
            for name in names:
                Path(model.path_of(name)).touch()

    BentoMLContainer.model_store.set(ModelStore(tmp_path))
    yield put
    BentoMLContainer.model_store.reset()


@pytest.mark.parametrize("tag", ["mine", "mine:latest", "mine:v1"])
def test_the_checkpoint_of_a_stored_model(put, tag):
    put("x.safetensors", "notes.txt")
    full, path = find(tag)
    assert (full, path.name) == ("mine:v1", "x.safetensors")
    assert path.is_file()


def test_a_stored_directory(put):
    put("config.json", "model.pt")
    assert [path.name for path in find("mine")[1].iterdir() if path.suffix == ".pt"] == ["model.pt"]


@pytest.mark.parametrize("names", [(), ("notes.txt",), ("a.pt", "b.pt")])
def test_a_stored_model_that_is_no_checkpoint(put, names):
    put(*names)
    with pytest.raises(StartError, match=r"^--bento-model mine: must hold one .safetensors or .pt"):
        find("mine")


@pytest.mark.usefixtures("put")
@pytest.mark.parametrize("tag", ["mine", "mine:v2", "no tag at all!"])
def test_what_is_not_in_the_store(tag):
    with pytest.raises(
        StartError, match=rf"^--bento-model {tag}: is not in the Bento model store$"
    ):
        find(tag)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"weights")
    return path


def test_what_is_added_is_found(put, file):
    put("other.pt")
    store.add("new:v2", file, CARD)
    full, path = find("new")
    assert (full, path.name, path.read_bytes()) == ("new:v2", "x.safetensors", b"weights")
    assert list(store.contents()) == [("new:v2", CARD)]


@pytest.mark.usefixtures("put")
def test_of_a_directory_only_the_checkpoint_is_added(tmp_path):
    folder = tmp_path / "directory"
    folder.mkdir()
    for name in ("config.json", "model.pt", "secrets.txt"):
        (folder / name).touch()
    store.add("new:v1", folder, CARD)
    names = {path.name for path in find("new")[1].iterdir()}
    assert names == {"config.json", "model.pt", "model.yaml"}


def test_a_tag_that_is_taken(put, file):
    put("x.safetensors")
    with pytest.raises(StoreError, match=r"^Item 'mine:v1' already exists in the store .*$"):
        store.add("mine:v1", file, CARD)
    assert find("mine")[1].read_bytes() == b""


@pytest.fixture
def aliases():
    """Sets what a Bento calls the models it was built with."""
    yield BentoMLContainer.model_aliases.set
    BentoMLContainer.model_aliases.reset()


def test_the_model_that_a_bento_was_built_with(aliases):
    assert store.packed() == ""
    aliases({"other": "x:1", "packed": "mine:v1"})
    assert store.packed() == "mine:v1"
