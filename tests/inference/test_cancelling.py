"""Runs that are told to stop."""

import threading

import pytest

from midigpt.errors import GenerationCancelled
from midigpt.inference import run
from tests.inference.conftest import random_engine
from tests.inference.sessions import CONTEXT, INFILL, asked


def test_before_the_start_there_is_no_score(engine, score):
    session = asked(engine, score, INFILL, CONTEXT)
    session.cancel_event.set()
    with pytest.raises(GenerationCancelled) as cancelled:
        session.run()
    assert cancelled.value.gen_count == 0
    assert cancelled.value.partial is None


def test_while_the_first_prompt_is_read_there_is_no_score(score):
    engine = random_engine()
    session = asked(engine, score, INFILL, CONTEXT)
    read = engine.decoder.prefill
    engine.decoder.prefill = lambda *args: session.cancel_event.set() or read(*args)
    with pytest.raises(GenerationCancelled) as cancelled:
        session.run()
    assert cancelled.value.partial is None


def test_while_all_decoders_are_lent(engine, score):
    session = asked(engine, score, INFILL, CONTEXT, num_candidates=2)
    session.cancel_event.set()
    with engine.decoders.lend():
        with pytest.raises(GenerationCancelled) as one:
            session.run()
        with pytest.raises(GenerationCancelled) as several:
            session.run_variations()
    assert one.value.partial is None
    assert [c["seed"] for c in several.value.partial] == [7, 8]
    assert [c["error"] for c in several.value.partial] == ["cancelled"] * 2


def test_between_steps_what_is_done_is_kept(engine, score):
    session = asked(engine, score, INFILL, CONTEXT)
    session.attempt_sink = lambda *_: session.cancel_event.set()
    with pytest.raises(GenerationCancelled) as cancelled:
        session.run()
    partial = cancelled.value.partial.tracks[0].bars
    sent = score.resample(1920).tracks[0].bars
    assert partial[1] != sent[1]
    assert partial[2:] == sent[2:]


def test_in_the_middle_of_a_step(score):
    engine = random_engine()
    session = asked(engine, score, INFILL, CONTEXT)
    steps = engine.decoder.step
    calls = iter(range(1000))

    def step(rows, tokens):
        if next(calls) == 5:
            session.cancel_event.set()
        return steps(rows, tokens)

    engine.decoder.step = step
    with pytest.raises(GenerationCancelled) as cancelled:
        session.run()
    assert cancelled.value.gen_count == 6
    assert session.truncated


def test_with_the_last_token(engine, score):
    """All is written, and yet it was told to stop."""
    session = asked(engine, score, INFILL | {"bars": [1]}, CONTEXT)
    session.attempt_sink = lambda *_: session.cancel_event.set()
    with pytest.raises(GenerationCancelled) as cancelled:
        session.run()
    assert cancelled.value.partial.tracks[0].bars[1] != score.resample(1920).tracks[0].bars[1]


def test_while_the_last_attempt_is_rejected(engine, score, monkeypatch):
    monkeypatch.setattr(run, "rejections", lambda *_: ["taste"])
    session = asked(engine, score, INFILL, CONTEXT, max_attempts=1)
    session.attempt_sink = lambda *_: session.cancel_event.set()
    with pytest.raises(GenerationCancelled) as cancelled:
        session.run()
    assert cancelled.value.partial == score.resample(1920)


def test_from_another_thread(engine, score):
    many = {"id": 0, "bars": [0, 1, 2, 3]}
    session = asked(engine, score, many, CONTEXT, max_attempts=100)
    session.attempt_sink = lambda *_: started.set()
    started = threading.Event()
    canceller = threading.Thread(target=lambda: (started.wait(10), session.cancel_event.set()))
    canceller.start()
    with pytest.raises(GenerationCancelled):
        session.run()
    canceller.join()


class TestCandidates:
    @pytest.fixture
    def stopped(self, engine, score):
        """The candidates of a session that is told to stop at the end of an attempt."""

        def stopped(*tracks, at, **config):
            session = asked(engine, score, *tracks, **config)
            attempts = iter(range(1, 1000))

            def count(_step, _row):
                if next(attempts) == at:
                    session.cancel_event.set()

            session.attempt_sink = count
            with pytest.raises(GenerationCancelled) as cancelled:
                session.run_variations()
            assert cancelled.value.gen_count == session.gen_count
            return cancelled.value.partial

        return stopped

    def test_none_was_begun(self, engine, score):
        session = asked(engine, score, INFILL, CONTEXT, num_candidates=2)
        session.cancel_event.set()
        with pytest.raises(GenerationCancelled) as cancelled:
            session.run_variations()
        nothing = {"score": None, "gen_count": 0, "error": "cancelled", "truncated": False}
        assert cancelled.value.partial == [nothing | {"seed": 7}, nothing | {"seed": 8}]

    def test_each_keeps_what_it_has(self, stopped, score):
        first, second = stopped(INFILL, CONTEXT, at=1, num_candidates=2)
        sent = score.resample(1920).tracks[0].bars
        assert [first["seed"], second["seed"]] == [7, 8]
        for candidate in (first, second):
            assert candidate["error"] == "cancelled"
            assert candidate["gen_count"] > 0
            bars = candidate["score"].tracks[0].bars
            assert bars[1] != sent[1]
            assert bars[2] == sent[2]

    def test_one_that_has_finished_is_whole(self, engine, score, stopped):
        one_bar = INFILL | {"bars": [1]}
        candidates = stopped(one_bar, CONTEXT, at=1, num_candidates=3)
        ended = [candidate for candidate in candidates if candidate["error"] is None]
        assert len(ended) == 1
        alone = asked(engine, score, one_bar, CONTEXT, seed=ended[0]["seed"])
        assert ended[0]["score"] == alone.run()
        assert not ended[0]["truncated"]
        others = [candidate for candidate in candidates if candidate["error"] is not None]
        assert [candidate["error"] for candidate in others] == ["cancelled"] * 2
        assert all(candidate["truncated"] for candidate in others)

    def test_when_all_have_finished_it_is_too_late(self, engine, score):
        one_bar = INFILL | {"bars": [1]}
        session = asked(engine, score, one_bar, CONTEXT, num_candidates=2)
        ended = []

        def count(_step, row):
            ended.append(row)
            if len(ended) == 2:
                session.cancel_event.set()

        session.attempt_sink = count
        assert [c["error"] for c in session.run_variations()] == [None, None]
