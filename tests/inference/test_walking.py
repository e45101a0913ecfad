"""A decoder that draws tokens itself changes nothing but the time it takes."""

from collections import Counter
from copy import deepcopy

import pytest

from midigpt.inference import InferenceEngine
from midigpt.model.graph import GraphDecoder
from midigpt.model.graph_network import GraphNetwork
from midigpt.model.pilot import STRIDE
from tests.inference.conftest import ENCODER, random_engine
from tests.inference.sessions import CONTEXT, CONTINUE, INFILL, asked


class Counting(GraphDecoder):
    """Counts what it is asked to do; with a stride of 0 it only takes steps."""

    def __init__(self, network, stride):
        super().__init__(network)
        self.stride = stride
        self.calls = Counter()

    def walk(self, rows, tokens, courses):
        walks = super().walk(rows, tokens, courses)
        self.calls["walk"] += 1
        self.calls["walked"] += sum(len(walked.logits) for walked in walks)
        return walks

    def step(self, rows, tokens):
        self.calls["step"] += 1
        return super().step(rows, tokens)


@pytest.fixture(scope="module")
def plain():
    return random_engine(ENCODER, context=1024)


@pytest.fixture
def engine(plain):
    """Makes an engine of the network whose rows go so many steps by themselves."""

    def make(stride):
        network = GraphNetwork(deepcopy(plain.decoder._model), "fp32")
        return InferenceEngine(plain.language, Counting(network, stride))

    return make


def results(engine, score, *tracks, controls=None, **config):
    settings = {"num_candidates": 3, "max_attempts": 2} | config
    session = asked(engine, score, *tracks, CONTEXT, controls=controls, **settings)
    return session.run_variations(), session.gen_count


@pytest.mark.parametrize(
    ("track", "config"),
    [
        (INFILL, {}),
        (CONTINUE, {"temperature": 0.4, "top_k": 30}),
        (INFILL, {"top_p": 0.7, "mask_k": 2, "density_hard_limit": 3, "polyphony_hard_limit": 1}),
        (CONTINUE, {"bars_per_step": 1, "batch_attempts": True, "mask_p": 0.2}),
        (INFILL, {"num_candidates": 5}),
    ],
)
def test_the_music_is_the_same(engine, score, track, config):
    walker, stepper = engine(STRIDE), engine(0)
    walked, tokens = results(walker, score, track, **config)
    assert (walked, tokens) == results(stepper, score, track, **config)
    assert walker.decoder.calls["step"] == stepper.decoder.calls["walk"] == 0
    assert walker.decoder.calls["walk"] < 0.6 * stepper.decoder.calls["step"]


@pytest.mark.parametrize(
    "controls",
    [
        {"pitch_mask": {"scale": "major", "root": 2}},
        {"rhythm_mask": {"positions": [{"pos": 24}, {"pos": 0, "polyphony": 2}]}},
        {"remix": {"amount": 0.4, "mode": "full"}},
    ],
    ids=lambda controls: next(iter(controls)),
)
def test_so_it_is_under_controls(engine, score, controls):
    """Although the device knows nothing of some of them."""
    track = INFILL | {"controls": controls}
    assert results(engine(STRIDE), score, track) == results(engine(0), score, track)


def test_most_guesses_of_an_ordinary_request_are_right(engine, score):
    """Although the network has no idea of the grammar, and is as likely to say anything."""
    walker = engine(STRIDE)
    _, tokens = results(walker, score, INFILL, num_candidates=1)
    calls = walker.decoder.calls
    assert tokens > 100
    assert tokens / calls["walked"] > 0.9
    assert tokens / calls["walk"] > 5


def test_a_row_that_is_often_wrong_goes_short_ways(engine, score):
    """Here the device knows nothing of the one position where notes may begin."""
    walker = engine(STRIDE)
    track = INFILL | {"controls": {"rhythm_mask": {"positions": [{"pos": 0, "polyphony": 9}]}}}
    _, tokens = results(walker, score, track, num_candidates=1, max_attempts=1)
    assert walker.decoder.calls["walked"] < 3 * tokens
