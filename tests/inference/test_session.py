import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.errors import GenerationError, RequestValidationError
from midigpt.inference.row import Status
from tests.inference.conftest import ENCODER, random_engine
from tests.inference.sessions import CONTEXT, CONTINUE, INFILL, asked, request


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


class TestPromptTokens:
    def test_those_of_the_last_run_alone_are_counted(self, score):
        engine = random_engine()
        one_bar = INFILL | {"bars": [1]}
        first = asked(engine, score, one_bar, CONTEXT)
        again = asked(engine, score, one_bar, CONTEXT, max_attempts=1)
        assert (first.prompt_tokens_read, first.prompt_tokens_reused) == (0, 0)
        first.run()
        again.run()
        assert (first.prompt_tokens_read, first.prompt_tokens_reused) == (first.context_len, 0)
        assert (again.prompt_tokens_read, again.prompt_tokens_reused) == (0, again.context_len)

    def test_candidates_share_what_they_begin_with(self, score):
        session = asked(random_engine(), score, INFILL | {"bars": [1]}, CONTEXT, num_candidates=3)
        session.run_variations()
        assert session.prompt_tokens_read == session.context_len


class TestGivingUp:
    """Making a session can be stopped: it may take a while, and nobody may want it any more."""

    class Leave(Exception):  # noqa: N818 - not an error
        """The client has left."""

    @pytest.mark.parametrize("looks", range(1, 6))
    def test_what_the_check_raises_ends_it(self, engine, score, looks):
        counter = iter(range(1, 1000))

        def check():
            if next(counter) == looks:
                raise self.Leave

        with pytest.raises(self.Leave):
            engine.session(score, request({"id": 0, "bars": [0, 1, 2, 3]}, CONTEXT), check)
        assert next(counter) == looks + 1

    def test_it_is_called_for_every_track_and_every_step(self, engine, score):
        calls = []
        fill = {"id": 0, "bars": [0, 1, 2, 3]}
        session = engine.session(score, request(fill, CONTEXT), lambda: calls.append(None))
        assert len(calls) >= len(score.tracks) + len(session.plan_summary())

    def test_also_while_room_is_looked_for(self, score):
        session = asked(random_engine(context=90), score, INFILL, CONTEXT, context="all")

        def check():
            raise self.Leave

        with pytest.raises(self.Leave):
            session.check_room(check)


def test_a_session_may_be_used_as_a_context(engine, score):
    with asked(engine, score, INFILL, CONTEXT) as session:
        assert session.run() == asked(engine, score, INFILL, CONTEXT).run()


def test_validation_speaks_through_warnings(engine, score):
    score.tracks[0].instrument = 200
    session = engine.session(score, request(INFILL, CONTEXT))
    assert len(session.warnings) == 1
    assert "instrument" in session.warnings[0]


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
        with pytest.raises(GenerationError, match=r"novelty_check 2x; the last one had 4 notes"):
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
