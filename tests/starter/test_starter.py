"""The checkpoint that is shipped: it loads, and what it plays is music."""

import json
import subprocess
from pathlib import Path

import pytest
from trials import infills

from midigpt import Bar, Score, Track
from midigpt.inference.engine import InferenceEngine
from midigpt.inference.request import GenerationRequest
from tests.starter.conftest import FOLDER

CHECKPOINT = FOLDER / "starter.safetensors"
PEER = Path(__file__).parents[2] / ".venv-peer" / "bin" / "python"


@pytest.fixture(scope="module")
def engine():
    return InferenceEngine.from_checkpoint(CHECKPOINT, device="cpu")


def test_it_is_small():
    assert CHECKPOINT.stat().st_size <= 12_000_000


def test_it_answers_the_first_request_of_the_readme_with_music_in_a_key(engine):
    score = Score([Track([Bar() for _ in range(4)])])
    shares = []
    for seed in range(4):
        config = {"model_dim": 4, "seed": seed}
        asked = {"tracks": [{"id": 0, "bars": [0, 1, 2, 3]}], "config": config}
        session = engine.session(score, GenerationRequest.from_dict(asked))
        bars = session.run().tracks[0].bars
        assert all(bar.notes for bar in bars)
        shares.append(in_best_scale([note.pitch % 12 for bar in bars for note in bar.notes]))
    assert sum(shares) / len(shares) > 0.85


def in_best_scale(pitches):
    scales = [{(tonic + i) % 12 for i in (0, 2, 4, 5, 7, 9, 11)} for tonic in range(12)]
    return max(sum(pitch in scale for pitch in pitches) for scale in scales) / len(pitches)


def test_what_it_fills_in_is_in_the_key_of_the_piece(engine):
    inside = []
    for trial in infills(8):
        score = engine.session(trial.sent, trial.request).run()
        for t, b in trial.cells:
            assert score.tracks[t].bars[b].notes
            if not score.tracks[t].is_drum:
                found = score.tracks[t].bars[b].notes
                inside += [note.pitch % 12 in trial.key.pitch_classes for note in found]
    assert sum(inside) / len(inside) > 0.8


def test_more_drums_are_more_drums(engine):
    counts = []
    for level in (1, 8):
        score = Score([Track([Bar() for _ in range(4)], track_type="drum")])
        asked = {
            "tracks": [{"id": 0, "bars": [0, 1, 2, 3], "attributes": {"note_density": level}}],
            "config": {"model_dim": 4, "bars_per_step": 0, "seed": 1},
        }
        result = engine.session(score, GenerationRequest.from_dict(asked)).run()
        counts.append(sum(len(bar.notes) for bar in result.tracks[0].bars))
    assert counts[1] > 2 * counts[0]


@pytest.mark.peer
@pytest.mark.skipif(not PEER.exists(), reason="the reference is not installed")
def test_the_reference_loads_it_and_plays():
    code = f"""
import json
from midigpt import Score
from midigpt.inference import GenerationRequest, InferenceConfig, InferenceEngine, TrackPrompt
engine = InferenceEngine.from_checkpoint({str(CHECKPOINT)!r})
score = Score.from_dict({{"tracks": [{{"bars": [{{}}, {{}}, {{}}, {{}}]}}]}})
prompts = [TrackPrompt(id=0, bars=[0, 1, 2, 3])]
request = GenerationRequest(tracks=prompts, config=InferenceConfig(seed=1))
print(json.dumps(engine.session(score, request).run().to_dict()))
"""
    told = subprocess.check_output([str(PEER), "-c", code], cwd="/", text=True)
    played = json.loads(told.splitlines()[-1])
    assert all(bar["notes"] for bar in played["tracks"][0]["bars"])
