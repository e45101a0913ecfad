"""Engines from checkpoint files."""

import pytest

from midigpt.errors import CheckpointError, DeviceError
from midigpt.inference import GenerationRequest, InferenceEngine
from midigpt.model.checkpoint import save_checkpoint
from tests.inference.conftest import ENCODER, random_engine

REQUEST = {
    "tracks": [{"id": 0, "bars": [1]}, {"id": 1, "bars": []}],
    "config": {"seed": 7, "density_hard_limit": 3},
}


@pytest.fixture
def saved(tmp_path):
    """Write the network of an engine, and an encoder config, as a checkpoint."""

    def written(engine, encoder):
        save_checkpoint(tmp_path / "model.safetensors", engine.decoder._model, encoder)
        return tmp_path / "model.safetensors"

    return written


def test_an_engine_from_a_file_makes_the_same_music(saved, engine, score):
    loaded = InferenceEngine.from_checkpoint(saved(engine, ENCODER), device="cpu")
    first, second = (
        each.session(score, GenerationRequest.from_dict(REQUEST)).run() for each in (loaded, engine)
    )
    assert first == second


def test_a_network_with_another_number_of_tokens_than_its_encoder_is_refused(saved, engine):
    path = saved(engine, ENCODER | {"supports_mask_bar_token": True})
    with pytest.raises(CheckpointError, match=r"model\.safetensors: the network has \d+ tokens"):
        InferenceEngine.from_checkpoint(path, device="cpu")


def test_a_device_that_is_not_there(saved, engine):
    with pytest.raises(DeviceError):
        InferenceEngine.from_checkpoint(saved(engine, ENCODER), device="cuda:99")


def test_warming_up_leaves_nothing_behind():
    engine = random_engine()
    engine.warmup()
    assert engine.decoder._rows == {}
