"""The checkpoint in the repository, and the recipe that makes it."""

import runpy
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from midigpt import Bar, Score, Track
from midigpt.inference.engine import InferenceEngine
from midigpt.inference.request import GenerationRequest
from midigpt.model import load_checkpoint

FOLDER = Path(__file__).parents[2] / "models" / "starter"
SHIPPED = FOLDER / "untrained.safetensors"


def test_it_is_small_and_says_what_it_is():
    assert SHIPPED.stat().st_size < 1_000_000
    with safe_open(SHIPPED, framework="pt") as file:
        assert file.metadata()["description"] == "untrained: random weights"


def test_the_recipe_makes_what_is_shipped(tmp_path):
    runpy.run_path(str(FOLDER / "make_untrained.py"))["make"](tmp_path / "x.safetensors")
    made, shipped = (
        load_checkpoint(tmp_path / "x.safetensors", "cpu"),
        load_checkpoint(SHIPPED, "cpu"),
    )
    assert made.encoder_config == shipped.encoder_config
    tensors = shipped.model.state_dict()
    for name, tensor in made.model.state_dict().items():
        torch.testing.assert_close(tensor, tensors[name])


@pytest.mark.parametrize("track_type", ["melodic", "drum"])
def test_bars_have_a_few_notes_and_end(track_type):
    engine = InferenceEngine.from_checkpoint(SHIPPED, device="cpu")
    score = Score([Track([Bar() for _ in range(4)], track_type=track_type)])
    for seed in range(5):
        request = {"tracks": [{"id": 0, "bars": [0, 1, 2, 3]}], "config": {"seed": seed}}
        session = engine.session(score, GenerationRequest.from_dict(request))
        notes = [len(bar.notes) for bar in session.run().tracks[0].bars]
        assert 1 <= min(notes) <= max(notes) <= 40
        assert not session.truncated
