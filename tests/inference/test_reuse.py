"""A prompt is not computed twice, and nobody can tell by the music."""

from copy import deepcopy

import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.inference import InferenceEngine
from midigpt.model import PRECISIONS, make_decoders
from tests.inference.conftest import random_engine
from tests.inference.sessions import CONTEXT, asked

STEPS = {"id": 0, "bars": [0, 2, 3]}


@pytest.fixture(params=PRECISIONS)
def new_engine(request):
    """Makes engines of the same network, which have seen nothing."""
    plain = random_engine(context=1024)

    def new():
        decoders = make_decoders(deepcopy(plain.decoder._model), request.param)
        return InferenceEngine(plain.language, *decoders)

    return new


@pytest.fixture
def song():
    def bar(pitch):
        return Bar([Note(pitch + n % 5, 61, 120 * n, 100) for n in range(16)])

    return Score([Track([bar(40 + 3 * b) for b in range(4)]), Track([bar(60) for _ in range(4)])])


def stepwise(engine, song, **config):
    settings = {"bars_per_step": 1, "density_hard_limit": 6} | config
    return asked(engine, song, STEPS, CONTEXT, **settings)


def changed(song):
    other = deepcopy(song)
    other.tracks[1].bars[2].notes[3].pitch += 1
    return other


def test_results_are_those_of_an_engine_that_starts_afresh(new_engine, song):
    """Steps, retries, candidates, the same song again, and another that begins like it."""
    busy = new_engine()
    for score, config in [
        (song, {"seed": 1}),
        (song, {"seed": 2, "max_attempts": 3, "novelty_threshold": 0.01, "novelty_check": False}),
        (changed(song), {"seed": 1}),
        (song, {"seed": 5, "batch_attempts": True, "max_attempts": 3}),
    ]:
        assert (
            stepwise(busy, score, **config).run() == stepwise(new_engine(), score, **config).run()
        )
    variations = [
        stepwise(engine, song, seed=3, num_candidates=3).run_variations()
        for engine in (busy, new_engine())
    ]
    assert variations[0] == variations[1]
    single = stepwise(new_engine(), song, seed=5).run()
    assert variations[0][2]["score"] == single


def test_results_are_those_of_an_engine_that_does_not_guess(new_engine, song):
    engine, plain = new_engine(), new_engine()
    plain.decoder.lookahead = 0
    assert engine.decoder.lookahead > 0
    for seed in range(3):
        config = {"seed": seed, "temperature": 0.3}
        guessed, expected = stepwise(engine, song, **config), stepwise(plain, song, **config)
        assert guessed.run() == expected.run()


def test_the_same_song_again_begins_with_a_prompt_that_is_there(new_engine, song):
    engine = new_engine()
    first = stepwise(engine, song, seed=1, bars_per_step=4)
    first.run()
    assert first.prompt_tokens_reused < first.context_len
    again = stepwise(engine, song, seed=2, bars_per_step=4)
    again.run()
    assert (again.prompt_tokens_read, again.prompt_tokens_reused) == (0, again.context_len)


def test_a_song_that_begins_alike_shares_what_it_can(new_engine, song):
    engine = new_engine()
    stepwise(engine, song, bars_per_step=4).run()
    other = stepwise(engine, changed(song), bars_per_step=4)
    other.run()
    assert 0 < other.prompt_tokens_read < other.context_len / 2


def test_later_steps_of_the_run_before_do_not_cost_the_first_prompt(new_engine, song):
    engine = new_engine()
    first, again = stepwise(engine, song, seed=1), stepwise(engine, song, seed=2)
    first.run()
    again.run()
    assert len(first.plan_summary()) == 3
    assert again.prompt_tokens_read < first.prompt_tokens_read * 2 / 3
