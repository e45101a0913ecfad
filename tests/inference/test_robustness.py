"""What is asked for comes out, whatever the weights, the seed and the request."""

import json
import threading
from functools import cache
from pathlib import Path
from random import Random

import pytest

from midigpt.errors import GenerationCancelled
from midigpt.inference import GenerationRequest, RequestValidationError
from tests.contract.vectors import FOLDER
from tests.inference.conftest import random_engine
from tests.inference.drawing import draw_request, draw_score

YELLOW = Path(__file__).parents[2] / "models" / "starter" / "encoder.json"
SWITCHES = {
    "switchable_velocity": True,
    "switchable_microtiming": True,
    "emit_delta_tokens": True,
    "genre_groups": {"jazz": ["swing"], "pop": []},
}
FAMILIES = ["yellow", "switched", *(["prism", "expressive"] if FOLDER.is_dir() else [])]
CONTEXTS = [230, 230, 300, 500, 1024]
FEW, MANY = 60, 2000


@cache
def engine(family, context, weights):
    if family in {"yellow", "switched"}:
        encoder = json.loads(YELLOW.read_text()) | (SWITCHES if family == "switched" else {})
    else:
        encoder = json.loads((FOLDER / "encoders" / f"{family}.json").read_text())
    return random_engine(encoder, context, weights)


class Countdown(threading.Event):
    """Is set when it has been looked at so many times."""

    def __init__(self, looks):
        super().__init__()
        self.looks = looks

    def is_set(self):
        self.looks -= 1
        return self.looks < 0


def carry_out(seed):
    """Draw a request and run it; whether it was found too large before anything was generated."""
    random = Random(seed)
    chosen = engine(random.choice(FAMILIES), random.choice(CONTEXTS), random.randrange(3))
    signatures = chosen.language.tokenizer.config.time_signatures
    meters = random.choice([signatures, [(4, 4)], [(3, 4), (4, 4)]])
    score = draw_score(random, meters)
    asked = GenerationRequest.from_dict(draw_request(random, score, chosen.language))
    session = chosen.session(score, asked)
    try:
        session.check_room()
    except RequestValidationError:
        return True
    if random.random() < 0.2:
        session.cancel_event = Countdown(random.randrange(200))
    if asked.config.num_candidates > 1:
        check_candidates(session, score, asked.config.num_candidates)
    else:
        check_one(session, score)
    return False


def outcome(generate):
    """What comes out, or what there is of it when it is cancelled; and whether it is."""
    try:
        return generate(), False
    except GenerationCancelled as cancelled:
        return cancelled.partial, True


def check_one(session, score):
    result, stopped = outcome(session.run)
    if not stopped:
        check(session, score, result, truncated=session.truncated)
        return
    assert session.cancel_event.looks < 0
    assert (result is None) == (session.gen_count == 0)
    if result is not None:
        check_others(session, score, result)


def check_candidates(session, score, count):
    candidates, stopped = outcome(session.run_variations)
    assert [c["seed"] for c in candidates] == [session.resolved_seed + i for i in range(count)]
    assert any(candidate["error"] for candidate in candidates) == stopped
    assert sum(candidate["gen_count"] for candidate in candidates) == session.gen_count
    for candidate in candidates:
        if candidate["error"] is None:
            check(session, score, candidate["score"], truncated=candidate["truncated"])
            continue
        assert candidate["error"] == "cancelled"
        assert (candidate["score"] is None) == (candidate["gen_count"] == 0)
        if candidate["score"] is not None:
            check_others(session, score, candidate["score"])


def check(session, score, result, *, truncated):
    """Everything asked for has music or a word of excuse; the rest is as it was."""
    check_others(session, score, result)
    for t, track in enumerate(result.tracks):
        for b in session.generated_bars.get(t, []):
            assert track.bars[b].notes or truncated
    assert session.warnings or not truncated
    assert session.peak_window_tokens() <= session.max_context_len


def check_others(session, score, result):
    """What was not asked for is as it was."""
    sent = score.resample(result.resolution)
    for t, (track, before) in enumerate(zip(result.tracks, sent.tracks, strict=True)):
        assert len(track.bars) == len(before.bars)
        asked = session.generated_bars.get(t, [])
        for b, bar in enumerate(track.bars):
            assert b in asked or bar == before.bars[b]


def test_a_few():
    too_large = sum(carry_out(seed) for seed in range(FEW))
    assert too_large < FEW / 10


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand():
    too_large = sum(carry_out(seed) for seed in range(MANY))
    assert too_large < MANY / 10
