import threading

import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.errors import GenerationCancelled, GenerationError, RequestValidationError
from midigpt.inference import GenerationRequest, run
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

    def test_with_the_last_token(self, engine, score):
        """All is written, and yet it was told to stop."""
        session = engine.session(score, request(INFILL | {"bars": [1]}, CONTEXT))
        session.attempt_sink = lambda *_: session.cancel_event.set()
        with pytest.raises(GenerationCancelled) as cancelled:
            session.run()
        assert cancelled.value.partial.tracks[0].bars[1] != score.resample(1920).tracks[0].bars[1]

    def test_while_the_last_attempt_is_rejected(self, engine, score, monkeypatch):
        monkeypatch.setattr(run, "rejections", lambda *_: ["taste"])
        session = engine.session(score, request(INFILL, CONTEXT, max_attempts=1))
        session.attempt_sink = lambda *_: session.cancel_event.set()
        with pytest.raises(GenerationCancelled) as cancelled:
            session.run()
        assert cancelled.value.partial == score.resample(1920)

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

    def test_one_that_fails_does_not_touch_the_others(self, engine, score, monkeypatch):
        one_bar = INFILL | {"bars": [1]}
        alone = {
            seed: engine.session(score, request(one_bar, CONTEXT, seed=seed)).run()
            for seed in (7, 8, 9)
        }
        bars = {seed: result.tracks[0].bars[1] for seed, result in alone.items()}
        monkeypatch.setattr(
            run,
            "rejections",
            lambda _, after, *__: ["taste"] if after.tracks[0].bars[1] == bars[8] else [],
        )
        asked = request(one_bar, CONTEXT, num_candidates=3, max_attempts=1)

        candidates = engine.session(score, asked).run_variations()

        assert [c["score"] for c in candidates] == [alone[7], None, alone[9]]
        assert [c["error"] and "taste 1x" in c["error"] for c in candidates] == [None, True, None]

    def test_cancelling_keeps_what_each_has(self, engine, score):
        session = engine.session(score, request(INFILL, CONTEXT, num_candidates=2))
        session.attempt_sink = lambda *_: session.cancel_event.set()
        with pytest.raises(GenerationCancelled) as cancelled:
            session.run_variations()
        assert [c["seed"] for c in cancelled.value.partial] == [7, 8]
        assert all(c["score"].resolution == 1920 for c in cancelled.value.partial)


class TestAttemptsSideBySide:
    """They are judged in order, so the music is that of attempts one after the other."""

    @pytest.fixture(autouse=True)
    def _picky(self, monkeypatch):
        """Reject whatever has an odd number of notes."""
        monkeypatch.setattr(
            run,
            "rejections",
            lambda _, after, targets, *__: [
                "taste" for t, b in targets if len(after.tracks[t].bars[b].notes) % 2
            ],
        )

    @pytest.mark.parametrize("seed", range(4))
    def test_the_result_is_the_same(self, engine, score, seed):
        asked = {"seed": seed, "max_attempts": 20, "temperature_escalation": 1.01}
        one_by_one = engine.session(score, request(INFILL, CONTEXT, **asked))
        together = engine.session(score, request(INFILL, CONTEXT, batch_attempts=True, **asked))
        assert one_by_one.run() == together.run()
        assert one_by_one.attempt == together.attempt
        assert one_by_one.gen_count <= together.gen_count

    def test_only_so_many_at_a_time(self, engine, score):
        batches = []
        step = engine.decoder.step
        asked = request(INFILL, CONTEXT, batch_attempts=True, max_attempts=100)
        session = engine.session(score, asked)
        try:
            engine.decoder.step = lambda rows, tokens: (
                batches.append(len(rows)) or step(rows, tokens)
            )
            session.run()
        finally:
            engine.decoder.step = step
        assert max(batches) == 8

    def test_notes_are_told_of_one_attempt_after_the_other(self, engine, score):
        asked = request(INFILL, CONTEXT, batch_attempts=True, max_attempts=20, seed=1)
        session = engine.session(score, asked)
        heard = []
        session.note_sink = heard.extend
        session.retry_sink = lambda _, bars: heard.__setitem__(
            slice(None), [note for note in heard if note["bar"] not in bars[0]]
        )
        result = session.run()
        notes = [(b, n.pitch) for b in (1, 2) for n in result.tracks[0].bars[b].notes]
        assert sorted((note["bar"], note["pitch"]) for note in heard) == sorted(notes)


def test_a_result_shares_nothing_with_what_was_sent(engine, score):
    sent = score.resample(1920)
    result = engine.session(sent, request(INFILL, CONTEXT)).run()
    result.tracks[1].bars[0].notes.clear()
    result.tracks[0].bars[0].notes[0].pitch = 1
    assert sent == score.resample(1920)


def test_attributes_of_a_checkpoint_without_any(engine, score):
    """Those of tracks mean nothing, as in the reference; there are none of bars."""
    whole = {"id": 0, "bars": [], "autoregressive": True, "attributes": {"note_density": 3}}
    session = engine.session(score, request(whole, CONTEXT))
    assert "has no effect" in session.warnings[0]
    session.run()
    with pytest.raises(RequestValidationError, match="bar_attributes"):
        engine.session(score, request(INFILL | {"bar_attributes": {"1": {"nomml": 3}}}, CONTEXT))


def test_warnings_are_those_of_the_last_run(engine, score):
    score.tracks[0].instrument = 200
    session = engine.session(score, request(INFILL, CONTEXT))
    session.run()
    once = list(session.warnings)
    session.run()
    assert session.warnings == once


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


def test_bars_pushed_out_of_a_prompt_keep_what_was_written():
    def dense():
        return Bar([Note(40 + n, 80, 60 * n, 60) for n in range(16)])

    engine = random_engine(ENCODER | {"num_bars_map": [4]}, context=150)
    context = Track([*(Bar() for _ in range(4)), dense(), dense()])
    crowded = Score([Track([Bar() for _ in range(6)]), context])
    session = engine.session(
        crowded, request({"id": 0, "bars": [2, 4]}, CONTEXT, context="all", seed=3)
    )
    result = session.run()
    assert session.truncated
    assert all(result.tracks[0].bars[bar].notes for bar in (2, 4))
