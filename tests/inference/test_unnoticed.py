"""Rules of the specification that no recorded case notices when they are broken."""

import random
from dataclasses import replace

import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.errors import GenerationError
from tests.inference.conftest import ENCODER, random_engine
from tests.inference.scripts import BAR, FILL, NOTE, follow, play
from tests.inference.sessions import WHOLE, asked

BAR_LEVELS = {
    "attribute_controls": [
        {"name": "polyphony_quantile", "params": {"mode": "max", "level": "bar"}},
    ]
}


def melody(*pitches, **kwargs):
    """Bars of one long note each; None leaves a bar empty."""
    bars = [Bar([] if pitch is None else [Note(pitch, 80, 0, 480)]) for pitch in pitches]
    return Track(bars, **kwargs)


class TestShuffle:
    TRACKS = (
        {"id": 0, "bars": [0, 1, 2, 3, 4, 5, 6, 7]},
        {"id": 1, "bars": [4, 5, 6, 7], "autoregressive": True},
        {"id": 2, "bars": [0, 2, 4, 6]},
    )

    @pytest.fixture
    def steps(self, engine):
        """The steps of a plan, by what they generate."""
        score = Score([melody(*[60] * 8) for _ in range(3)])

        def planned(**config):
            plan = asked(engine, score, *self.TRACKS, seed=5, **config).plan_summary()
            fills = [step["generate"] for step in plan if not step["autoregressive"]]
            continuations = [step["generate"] for step in plan if step["autoregressive"]]
            assert [step["generate"] for step in plan] == continuations + fills
            return continuations, fills

        return planned

    def test_fills_are_shuffled_by_the_seed_and_continuations_are_not(self, steps):
        continuations, fills = steps(shuffle=True)
        in_order, expected = steps()
        assert len(expected) == 12
        random.Random(5).shuffle(expected)
        assert fills == expected
        assert continuations == in_order

    def test_they_are_written_in_that_order(self, engine, monkeypatch):
        score = Score([melody(60, 61, 62, 63)])
        session = asked(engine, score, {"id": 0, "bars": [0, 1, 2, 3]}, shuffle=True, seed=1)
        written = []
        session.attempt_sink = lambda step, _: written.append(min(step.targets)[1])
        follow(monkeypatch, session, FILL * 4)
        session.run()
        assert [step["generate"]["0"][0] for step in session.plan_summary()] == written
        assert written != sorted(written)


def test_a_meter_asked_of_one_bar_of_a_whole_track(engine, stage):
    """Of that bar only, wherever the track stands and the window begins."""
    score = Score([melody(*[60] * 6), melody(*[50] * 6)])
    for bar in (1, 4):
        for track in score.tracks:
            track.bars[bar].ts_numerator, track.bars[bar].beat_length = 3, 3.0
    meters = {"bar_controls": {str(bar): {"time_signature": 1} for bar in (1, 4)}}
    session = asked(engine, score, {"id": 0} | WHOLE | meters, {"id": 1, "bars": []})
    waltz = ("Bar", "TimeSig 1", *NOTE, "BarEnd")
    before = [[], [*BAR], [*BAR, *waltz], [*BAR, *waltz, *BAR]]
    offered = [stage(session, *words, "Bar").offered["TimeSig"] for words in before]
    assert offered == [[0, 1], [1], [0, 1], [0, 1]]
    words = [*BAR, *waltz, *BAR, *BAR, "TrackEnd"]
    assert stage(session, *words, "Bar").offered["TimeSig"] == [1]


class TestControlsOfSteps:
    """A control is left out of a step whose tracks do not agree on it."""

    C_ONLY, D_ONLY = ({"controls": {"pitch_mask": {"pitch_classes": [n]}}} for n in (0, 2))

    @pytest.mark.parametrize(
        ("first", "second", "agreed"),
        [(C_ONLY, C_ONLY, True), (C_ONLY, D_ONLY, False), (C_ONLY, {}, False), ({}, C_ONLY, False)],
    )
    def test_pitch_masks(self, engine, stage, caplog, first, second, agreed):
        tracks = [{"id": 0, "bars": [1]} | first, {"id": 1, "bars": [2]} | second]
        score = Score([melody(60, 61, 62, 63), melody(60, 61, 62, 63)])
        session = asked(engine, score, *tracks, tracks_per_step=2, bars_per_step=4)
        pitches = stage(session).offered["NoteOnset"]
        assert pitches == list(range(0, 128, 12) if agreed else range(128))
        assert ("pitch_mask" in caplog.text) == (not agreed)

    def test_tracks_without_targets_have_no_say(self, engine, stage):
        tracks = [{"id": 0, "bars": [1]} | self.C_ONLY, {"id": 1, "bars": [2]} | self.D_ONLY]
        score = Score([melody(60, 61, 62, 63), melody(60, 61, 62, 63)])
        pitches = stage(asked(engine, score, *tracks, tracks_per_step=1)).offered["NoteOnset"]
        assert pitches == list(range(0, 128, 12))

    @pytest.mark.parametrize("tracks_per_step", [1, 2])
    def test_a_remix_is_of_one_track(self, engine, stage, tracks_per_step):
        """Validation sees to it too."""
        remix = {"controls": {"remix": {"amount": 1}}}
        tracks = [{"id": 0, "bars": [1]} | remix, {"id": 1, "bars": [1]} | remix]
        score = Score([melody(60, 61, 62, 63), melody(60, 61, 62, 63)])
        session = asked(engine, score, *tracks)
        session._task = replace(session._task, tracks_per_step=tracks_per_step)
        # the reference has one onset, at the start of the bar
        assert ("TimeAbsolutePos" in stage(session).offered) == (tracks_per_step > 1)


class TestHiddenBars:
    LEVEL = "BarLevelOnsetPolyphonyMax"

    def hidden_bar(self, stage, mode):
        """What the prompt tells of the hidden bar."""
        engine = random_engine(ENCODER | BAR_LEVELS | {"supports_mask_bar_token": True})
        score = Score([melody(60, 61), melody(50, 51)])
        score.tracks[1].bars[1].notes *= 3
        tracks = [{"id": 0, "bars": [0]}, {"id": 1, "bars": [], "mask_bars": [1]}]
        (prompt,) = stage(asked(engine, score, *tracks, model_dim=2, mask_mode=mode)).prompts
        last = max(i for i, (type_, _) in enumerate(prompt) if type_ == "Bar")
        return prompt[last : prompt.index(("BarEnd", 0), last)]

    def test_removed_they_have_no_levels(self, stage):
        assert self.hidden_bar(stage, "remove") == [("Bar", 0), ("TimeSig", 0)]

    def test_as_tokens_they_keep_them(self, stage):
        """Levels are those of all the music, what is hidden of it as well (Q-25)."""
        shell = [("Bar", 0), (self.LEVEL, 2), ("TimeSig", 0), ("MaskBar", 0)]
        assert self.hidden_bar(stage, "token") == shell

    def test_hidden_from_attention_they_keep_them(self, stage):
        assert self.hidden_bar(stage, "attention") == [("Bar", 0), (self.LEVEL, 2), ("TimeSig", 0)]

    def test_levels_of_tracks_are_of_all_the_music_as_well(self, stage):
        """Of the bars that are hidden, and those to be written (Q-25)."""
        levels = {"attribute_controls": [{"name": "polyphony_quantile", "params": {"mode": "max"}}]}
        score = Score([melody(60, 61), melody(50, 51)])
        score.tracks[0].bars[0].notes *= 3
        score.tracks[1].bars[1].notes *= 4
        tracks = [{"id": 0, "bars": [0]}, {"id": 1, "bars": [], "mask_bars": [1]}]
        session = asked(random_engine(ENCODER | levels), score, *tracks, model_dim=2)
        (prompt,) = stage(session).prompts
        assert [value for type_, value in prompt if type_ == "MaxPolyphony"] == [2, 3]

    @pytest.mark.parametrize("mode", ["attention", "remove", "token"])
    def test_a_future_bar_is_one_in_every_step(self, monkeypatch, mode):
        """The reference forgets it after the first step, and loses its notes (Q-14)."""
        engine = random_engine(ENCODER | {"supports_mask_bar_token": True})
        score = Score([melody(60, 61, 62, 63), melody(50, 51, 52, 53)], 1920)
        score.tracks[1].bars[3].future = True
        session = asked(engine, score, {"id": 0, "bars": [0, 1, 2]}, {"id": 1, "bars": []})
        session._task = replace(session._task, config=replace(session._task.config, mask_mode=mode))
        prompts = follow(monkeypatch, session, FILL * 3)
        spans = []
        session.attempt_sink = lambda _, row: spans.append(row.prompt.hidden)

        result = session.run()

        assert len(prompts) == 3
        for prompt, hidden in zip(prompts, spans, strict=True):
            pitches = [value for type_, value in prompt if type_ == "NoteOnset"]
            assert [pitch for pitch in pitches if pitch < 60] == [50, 51, 52]
            assert ("MaskBar", 0) in prompt or mode != "token"
            assert len(hidden) == (1 if mode == "attention" else 0)
        assert result.tracks[1] == score.tracks[1]


class TestRejectionsAtALargerWindow:
    """Attempts that run out of room are retried like others; the last one decides what is next."""

    SILENT = ("TimeAbsolutePos 3", "VelocityLevel 3", "NoteOnset 72")
    OLD = ("NoteOnset 61", "NoteDuration 3", "FillInEnd")
    CUT = (*NOTE, "VelocityLevel 3")

    @pytest.fixture
    def ended(self):
        """Window, step, attempt, temperature and status of the attempts that have ended."""
        return []

    @pytest.fixture
    def run(self, monkeypatch, ended):
        """Run a step that has room for three tokens in its first window."""
        score = Score([melody(60, 61, 62, 63)])
        fill = {"id": 0, "bars": [1]}
        config = {"context": "all", "max_attempts": 2, "temperature_escalation": 1.5}
        (prompt,) = play(monkeypatch, asked(random_engine(), score, fill)).prompts
        session = asked(random_engine(context=len(prompt) + 4), score, fill, **config)
        session.attempt_sink = lambda step, row: ended.append(
            (step.window[1], *row.place[1:], row.temperature, row.status.value)
        )

        def attempts(*words, retry_sink=None):
            follow(monkeypatch, session, words)
            session.retry_sink = retry_sink
            session.run()
            return ended

        return attempts

    def test_what_was_told_of_a_larger_window_is_void(self, run):
        void = []
        run(*self.SILENT, *self.SILENT, *FILL, retry_sink=lambda *retry: void.append(retry))
        assert void == [(2, {0: [1]}), (1, {0: [1]})]

    def test_a_silent_one_is_retried_and_both_make_way_for_a_smaller_window(self, run):
        assert run(*self.SILENT, *self.SILENT, *FILL) == [
            (4, 0, 0, 1.0, "truncated"),
            (4, 0, 1, 1.5, "truncated"),
            (2, 1, 0, 1.0, "complete"),
        ]

    def test_the_second_may_be_accepted(self, run):
        assert run(*self.SILENT, *FILL) == [
            (4, 0, 0, 1.0, "truncated"),
            (4, 0, 1, 1.5, "complete"),
        ]

    def test_a_good_one_that_was_cut_off_makes_way_at_once(self, run):
        assert run(*self.CUT, *FILL) == [(4, 0, 0, 1.0, "truncated"), (2, 1, 0, 1.0, "complete")]

    def test_the_last_one_decides_that_there_is_a_smaller_window(self, run):
        assert run(*self.OLD, *self.SILENT, *FILL) == [
            (4, 0, 0, 1.0, "complete"),
            (4, 0, 1, 1.5, "truncated"),
            (2, 1, 0, 1.0, "complete"),
        ]

    def test_the_last_one_decides_that_there_is_none(self, run, ended):
        with pytest.raises(GenerationError, match="none of 2 attempts"):
            run(*self.SILENT, *self.OLD, *FILL)
        assert [status for *_, status in ended] == ["truncated", "complete"]

    def test_the_smaller_window_has_all_its_attempts(self, run):
        assert run(*self.SILENT, *self.SILENT, *self.OLD, *FILL)[2:] == [
            (2, 1, 0, 1.0, "complete"),
            (2, 1, 1, 1.5, "complete"),
        ]
