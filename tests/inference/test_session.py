import threading

import pytest

from midigpt import Score
from midigpt.errors import GenerationCancelled, GenerationError
from midigpt.inference import GenerationRequest
from midigpt.inference.loop import Status
from tests.inference.conftest import ENCODER, random_engine


def request(*tracks, **config):
    return GenerationRequest.from_dict(
        {"tracks": list(tracks), "config": {"model_dim": 4, "seed": 7} | config}
    )


INFILL = {"id": 0, "bars": [1, 2]}
CONTEXT = {"id": 1, "bars": []}
CONTINUE = {"id": 0, "bars": [2, 3], "autoregressive": True}


def test_asked_bars_are_written_and_the_others_are_as_they_were(engine, score):
    result = engine.session(score, request(INFILL, CONTEXT)).run()

    sent = score.resample(1920)
    assert (result.resolution, result.tempo) == (1920, 400_000)
    assert [t.instrument for t in result.tracks] == [0, 0]
    assert [t.track_type for t in result.tracks] == ["melodic", "drum"]
    assert result.tracks[1].bars == sent.tracks[1].bars
    for bar in (0, 3):
        assert result.tracks[0].bars[bar] == sent.tracks[0].bars[bar]
    for bar in (1, 2):
        assert result.tracks[0].bars[bar].notes
        assert result.tracks[0].bars[bar] != sent.tracks[0].bars[bar]


def test_a_continuation(engine, score):
    result = engine.session(score, request(CONTINUE, CONTEXT)).run()
    assert [bool(bar.notes) for bar in result.tracks[0].bars] == [True] * 4
    assert result.tracks[0].bars[:2] == score.resample(1920).tracks[0].bars[:2]


def test_a_whole_track(engine, score):
    whole = {"id": 0, "bars": [], "autoregressive": True}
    result = engine.session(score, request(whole, CONTEXT)).run()
    assert len(result.tracks[0].bars) == 4
    assert all(bar.notes for bar in result.tracks[0].bars)


def test_the_callers_score_and_request_are_not_modified(engine, score):
    asked = request({"id": 0, "bars": [], "autoregressive": True}, CONTEXT, model_dim="auto")
    before, asked_before = Score.from_dict(score.to_dict()), repr(asked)
    engine.session(score, asked).run()
    assert score == before
    assert repr(asked) == asked_before


class TestSeeds:
    def notes(self, engine, score, **config):
        return engine.session(score, request(INFILL, CONTEXT, **config)).run().to_dict()

    def test_the_same_seed_gives_the_same_music_whatever_ran_before(self, engine, score):
        first = self.notes(engine, score)
        self.notes(engine, score, seed=8, temperature=2.0)
        assert self.notes(engine, score) == first
        assert self.notes(random_engine(), score) == first

    def test_another_seed_gives_other_music(self, engine, score):
        assert self.notes(engine, score) != self.notes(engine, score, seed=8)

    def test_a_seed_that_is_drawn_can_be_used_again(self, engine, score):
        session = engine.session(score, request(INFILL, CONTEXT, seed=-1))
        music = session.run().to_dict()
        assert 0 <= session.resolved_seed < 2**31
        assert self.notes(engine, score, seed=session.resolved_seed) == music

    def test_every_step_and_attempt_draws_its_own_numbers(self, engine, score):
        """The reference began every step with the same stream (Q-13)."""
        session = engine.session(score, request(INFILL, CONTEXT, max_attempts=2))
        places = []
        session.attempt_sink = lambda _, row: places.append(row.place)
        session.run()
        assert places == [(7, 0, 0), (7, 1, 0)]


def test_what_a_session_tells(engine, score):
    session = engine.session(score, request(INFILL, CONTEXT))
    assert session.resolved_seed == 7
    assert session.generated_bars == {0: [1, 2]}
    assert session.dropped_context == []
    assert session.plan_summary() == [
        {"window": [0, 4], "autoregressive": False, "generate": {"0": [bar]}} for bar in (1, 2)
    ]
    session.run()
    assert session.gen_count > 0
    assert session.attempt == 1
    assert session.max_context_len == 512
    assert session.context_len < session.peak_window_tokens() <= 512
    assert session.model_forward_time > 0
    assert session.encode_time > 0
    assert session.decode_time > 0
    assert not session.truncated


def test_validation_speaks_through_warnings(engine, score):
    score.tracks[0].instrument = 200
    session = engine.session(score, request(INFILL, CONTEXT))
    assert len(session.warnings) == 1
    assert "instrument" in session.warnings[0]


class TestCancelling:
    def test_before_the_start_nothing_changes(self, engine, score):
        session = engine.session(score, request(INFILL, CONTEXT))
        session.cancel_event.set()
        with pytest.raises(GenerationCancelled) as cancelled:
            session.run()
        assert cancelled.value.gen_count == 0
        assert cancelled.value.partial == score.resample(1920)

    def test_between_steps_what_is_done_is_kept(self, engine, score):
        session = engine.session(score, request(INFILL, CONTEXT))
        session.attempt_sink = lambda *_: session.cancel_event.set()
        with pytest.raises(GenerationCancelled) as cancelled:
            session.run()
        partial = cancelled.value.partial.tracks[0].bars
        sent = score.resample(1920).tracks[0].bars
        assert partial[1] != sent[1]
        assert partial[2:] == sent[2:]

    def test_in_the_middle_of_a_step(self, score):
        engine = random_engine()
        session = engine.session(score, request(INFILL, CONTEXT))
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

    def test_from_another_thread(self, engine, score):
        many = {"id": 0, "bars": [0, 1, 2, 3]}
        session = engine.session(score, request(many, CONTEXT, max_attempts=100))
        session.attempt_sink = lambda *_: started.set()
        started = threading.Event()
        canceller = threading.Thread(target=lambda: (started.wait(10), session.cancel_event.set()))
        canceller.start()
        with pytest.raises(GenerationCancelled):
            session.run()
        canceller.join()


class TestCandidates:
    def test_each_is_a_single_run_with_its_seed(self, engine, score):
        """The batches of the reference were neither judged nor retried like single runs."""
        asked = {"temperature": 1.5, "max_attempts": 4}
        session = engine.session(score, request(INFILL, CONTEXT, num_candidates=3, **asked))

        candidates = session.run_variations()

        assert [c["seed"] for c in candidates] == [7, 8, 9]
        for candidate in candidates:
            alone = engine.session(score, request(INFILL, CONTEXT, seed=candidate["seed"], **asked))
            assert alone.run() == candidate["score"]
            assert alone.gen_count == candidate["gen_count"]
            assert candidate["error"] is None
            assert candidate["truncated"] is False
        assert session.gen_count == sum(c["gen_count"] for c in candidates)

    def test_one_that_fails_does_not_touch_the_others(self, engine, score):
        """Whatever is silent is rejected; the density limit leaves only notes out of reach."""
        asked = request(
            INFILL | {"controls": {"pitch_mask": {"pitches": [60]}}},
            CONTEXT,
            num_candidates=4,
            max_attempts=1,
            novelty_threshold=0.2,
            temperature=1.0,
        )
        candidates = engine.session(score, asked).run_variations()
        failed = [c for c in candidates if c["error"]]
        assert all(c["score"] is None for c in failed)
        assert all("novelty_check" in c["error"] for c in failed)
        assert len([c for c in candidates if c["score"]]) + len(failed) == 4

    def test_cancelling_keeps_what_each_has(self, engine, score):
        session = engine.session(score, request(INFILL, CONTEXT, num_candidates=2))
        session.attempt_sink = lambda *_: session.cancel_event.set()
        with pytest.raises(GenerationCancelled) as cancelled:
            session.run_variations()
        assert [c["seed"] for c in cancelled.value.partial] == [7, 8]
        assert all(c["score"].resolution == 1920 for c in cancelled.value.partial)


class TestFailing:
    def test_attempts_that_change_nothing_are_counted(self, engine, score):
        """Rewriting a bar as a variation of itself in which nothing may change."""
        same = INFILL | {"bars": [1], "controls": {"pitch_mask": {"pitches": [62]}}}
        remix = same | {"controls": same["controls"] | {"remix": {"amount": 0.1}}}
        session = engine.session(score, request(remix, CONTEXT, max_attempts=2))
        statuses = []
        session.attempt_sink = lambda _, row: statuses.append(row.status)
        with pytest.raises(GenerationError, match=r"none of 2 attempts .*novelty_check 2x"):
            session.run()
        assert statuses == [Status.COMPLETE] * 2

    def test_a_prompt_that_fits_no_window(self, score):
        tight = random_engine(context=40)
        with pytest.raises(GenerationError, match="no window fits"):
            tight.session(score, request(INFILL, CONTEXT, context="all")).run()

    def test_an_error_of_the_network_comes_through(self, score):
        """The reference went on without cache and mask (Q-16)."""
        engine = random_engine()

        def broken(*_):
            raise MemoryError("no more memory")

        engine.decoder.step = broken
        with pytest.raises(MemoryError):
            engine.session(score, request(INFILL, CONTEXT)).run()


def test_infill_probability_keeps_a_share_of_the_bars(engine, score):
    all_bars = {"id": 0, "bars": [0, 1, 2, 3]}
    session = engine.session(score, request(all_bars, CONTEXT, infill_probability=0.5))
    (kept,) = session.generated_bars.values()
    assert len(kept) == 2
    again = engine.session(score, request(all_bars, CONTEXT, infill_probability=0.5))
    assert again.generated_bars == session.generated_bars


def test_the_seeds_example_succeeds_whatever_the_weights_and_the_seed():
    """Every bar leaves room for the others: with random weights the reference fails one in four."""
    empty = Score.from_dict({"tracks": [{"bars": [{}, {}, {}, {}]}]})
    for weights in range(3):
        engine = random_engine(ENCODER, context=300, seed=weights)
        for seed in range(4):
            session = engine.session(empty, request({"id": 0, "bars": [0, 1, 2, 3]}, seed=seed))
            result = session.run()
            assert all(bar.notes for bar in result.tracks[0].bars)
