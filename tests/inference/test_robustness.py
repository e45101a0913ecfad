"""What is asked for comes out, whatever the weights, the seed and the request."""

import json
from functools import cache
from pathlib import Path
from random import Random

import pytest

from midigpt.inference import GenerationRequest, RequestValidationError
from tests.contract.vectors import FOLDER
from tests.inference.conftest import random_engine
from tests.inference.drawing import draw_request, draw_score

YELLOW = Path(__file__).parents[2] / "models" / "starter" / "encoder.json"
FAMILIES = ["yellow", "prism", "expressive"] if FOLDER.is_dir() else ["yellow"]
CONTEXTS = [230, 230, 300, 500, 1024]
FEW, MANY = 60, 2000


@cache
def engine(family, context, weights):
    path = YELLOW if family == "yellow" else FOLDER / "encoders" / f"{family}.json"
    return random_engine(json.loads(path.read_text()), context, weights)


def carry_out(seed):
    """Draw a request and run it; whether it was found too large before anything was generated."""
    random = Random(seed)
    chosen = engine(random.choice(FAMILIES), random.choice(CONTEXTS), random.randrange(3))
    signatures = chosen.language.tokenizer.config.time_signatures
    meters = random.choice([signatures, [(4, 4)], [(3, 4), (4, 4)]])
    score = draw_score(random, meters)
    asked = draw_request(random, score, chosen.language.analyzer)
    session = chosen.session(score, GenerationRequest.from_dict(asked))
    try:
        session.check_room()
    except RequestValidationError:
        return True
    check(session, score, session.run())
    return False


def check(session, score, result):
    """Everything asked for has music or a word of excuse; the rest is as it was."""
    sent = score.resample(result.resolution)
    for t, (track, before) in enumerate(zip(result.tracks, sent.tracks, strict=True)):
        assert len(track.bars) == len(before.bars)
        asked = session.generated_bars.get(t, [])
        for b, bar in enumerate(track.bars):
            if b not in asked:
                assert bar == before.bars[b]
            elif not bar.notes:
                assert session.truncated
    assert bool(session.warnings) >= session.truncated
    assert session.peak_window_tokens() <= session.max_context_len


def test_a_few():
    too_large = sum(carry_out(seed) for seed in range(FEW))
    assert too_large < FEW / 10


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_thousand():
    too_large = sum(carry_out(seed) for seed in range(MANY))
    assert too_large < MANY / 10
