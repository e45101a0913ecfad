"""What the reference implementation gets wrong, and this one must not (numbers of its defects).

Those that are not here have their test with the module that is concerned.
"""

import logging
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from midigpt import Bar, Note, Score, Track
from midigpt.errors import GenerationCancelled, GenerationError
from midigpt.inference import sampling
from tests.inference.conftest import ENCODER, random_engine
from tests.inference.scripts import BAR, FILL, NOTE, asked, follow, play

WHOLE = {"bars": [], "autoregressive": True}
CONTINUED = {"id": 0, "bars": [2, 3], "autoregressive": True}


def attribute(name, **params):
    return {"name": name, "params": params}


LEVELS = {
    "attribute_controls": [
        attribute("polyphony_quantile", mode="max"),
        attribute("polyphony_quantile", mode="max", level="bar"),
        attribute("note_density_quantile"),
        attribute("nomml"),
        attribute("pitch_class_set"),
    ]
}


@pytest.fixture(scope="module")
def levelled():
    """An engine whose encoder has attributes of tracks and of bars."""
    return random_engine(ENCODER | LEVELS)


@pytest.fixture
def stage(monkeypatch):
    """What a session offers when it has sampled the given words."""
    return partial(play, monkeypatch)


def song(*tracks, bars=4):
    """Tracks of such kinds, with a quarter note in every bar."""
    return Score(
        [
            Track([Bar([Note(60, 80, 0, 480)]) for _ in range(bars)], track_type=kind)
            for kind in tracks
        ]
    )


def bars_of(prompt, track):
    """The bars of a track of a prompt, each as a dictionary of its tokens."""
    places = [i for i, (type_, _) in enumerate(prompt) if type_ == "Track"]
    words = prompt[places[track] : [*places, len(prompt)][track + 1]]
    starts = [i for i, (type_, _) in enumerate(words) if type_ == "Bar"]
    return [dict(words[start:end]) for start, end in pairwise([*starts, len(words)])]


class TestQ02:
    """A meter asked of a track that keeps its own does nothing but switch the meter keeper off."""

    def test_bars_open_with_the_meter_of_the_piece(self, engine, score, stage):
        scene = stage(asked(engine, score, CONTINUED, {"id": 1, "bars": []}), "Bar")
        assert scene.offered == {"TimeSig": [0]}

    @pytest.mark.parametrize(
        "tracks",
        [
            ({}, {"controls": {"time_signature": 1}}),
            ({"controls": {"time_signature": 1}}, {}),
            ({"bar_controls": {"2": {"time_signature": 0}}}, {}),
        ],
        ids=str,
    )
    def test_unless_one_is_asked_for_anywhere(self, engine, score, stage, tracks):
        first, second = tracks
        session = asked(engine, score, CONTINUED | first, {"id": 1, "bars": []} | second)
        offered = stage(session, "Bar").offered
        assert offered["TimeSig"] == [0, 1]
        assert "NoteOnset" in offered


class TestQ03:
    """Levels of bars are looked up, and kept, by the place of the bar in the piece."""

    LEVEL = "BarLevelOnsetPolyphonyMax"

    def test_a_level_asked_of_a_bar_is_in_the_prompt_of_its_window(self, levelled, stage):
        fill = {"id": 0, "bars": [6], "bar_attributes": {"6": {"bar_max_polyphony": 7}}}
        score = song("melodic", bars=8)
        score.tracks[0].bars[5].notes *= 4
        (prompt,) = stage(asked(levelled, score, fill, bars_per_step=1)).prompts
        assert [bar[self.LEVEL] for bar in bars_of(prompt, 0)] == [0, 3, 7, 0]

    def test_what_the_model_wrote_is_kept_for_later_windows(self, levelled, stage):
        """Its bars 0 to 3 are shown again, after it wrote bars 4 to 7 in a window of their own."""
        tracks = [{"id": 0} | WHOLE, {"id": 1, "bars": [1]}]

        def bars(*levels):
            yield from (word for n in levels for word in (BAR[0], f"{self.LEVEL} {n}", *BAR[1:]))
            yield "TrackEnd"

        session = asked(levelled, song("melodic", "melodic", bars=8), *tracks, bars_per_step=2)
        scene = stage(session, *bars(1, 2, 3, 4), *bars(5, 6), *bars(7, 8))

        first, second, third, fill = scene.prompts
        assert bars_of(first, 1) == []
        assert [bar[self.LEVEL] for bar in bars_of(second, 1)] == [3, 4]
        assert [bar[self.LEVEL] for bar in bars_of(third, 1)] == [5, 6]
        assert [bar[self.LEVEL] for bar in bars_of(fill, 0)] == [1, 2, 3, 4]


@pytest.mark.parametrize("mode", ["attention", "attention_approx", "attention_skip"])
@pytest.mark.parametrize(
    "tracks",
    [
        [{"id": 0, "bars": [1]}, {"id": 1, "bars": [], "mask_bars": [0, 2]}],
        [
            {"id": 0, "bars": [2, 3], "autoregressive": True, "mask_bars": [1]},
            {"id": 1, "bars": []},
        ],
    ],
    ids=["in the middle", "at the end"],
)
def test_q04_q05_hidden_bars_are_hidden_and_leave_all_positions_as_they_are(
    score, tracks, mode, monkeypatch
):
    """The logits are those of one pass over all tokens with the hidden ones masked."""
    engine = random_engine()
    network = engine.decoder._model
    seen = []
    original = sampling.probabilities
    monkeypatch.setattr(
        sampling, "probabilities", lambda *args: seen.append(args[0][0]) or original(*args)
    )
    session = asked(engine, score, *tracks, mask_mode=mode, top_k=1, density_hard_limit=2)
    attempts = []
    session.attempt_sink = lambda _, row: attempts.append(row)
    session.run()

    (row,) = attempts
    tokens = [*row.prompt.tokens, *row.tokens]
    visible = torch.ones(len(tokens), dtype=torch.bool)
    for start, end in row.prompt.hidden:
        visible[start:end] = False
    assert not visible.all()
    whole, _ = network(torch.tensor([tokens]), key_mask=visible)
    first = len(row.prompt.tokens) - 1
    assert_close(torch.stack(seen[1:]), whole[0, first + 1 : -1].detach())
    if visible[first]:
        assert_close(seen[0], whole[0, first].detach())


class TestQ06:
    """A fill is as long as its own bar, not as the last bar of the prompt."""

    @pytest.mark.parametrize(("waltz", "filled", "last"), [(1, 1, 35), (3, 1, 47), (3, 3, 35)])
    def test_positions(self, engine, stage, waltz, filled, last):
        score = song("melodic")
        score.tracks[0].bars[waltz] = Bar([], 3, 4)
        offered = stage(asked(engine, score, {"id": 0, "bars": [filled]}), *NOTE).offered
        assert max(offered["TimeAbsolutePos"]) == last


def test_q07_after_a_fill_there_is_only_the_next(engine, stage):
    session = asked(engine, song("melodic"), {"id": 0, "bars": [1, 2]}, bars_per_step=4)
    assert stage(session, *FILL).offered == {"FillInStart": [0]}


class TestQ08:
    """A continuation says each attribute once, of its own kind of track, and stays in its bar."""

    def offered(self, stage, levelled, *words, kind="melodic"):
        return stage(asked(levelled, song(kind), {"id": 0} | WHOLE), *words).offered

    def test_attributes_of_the_kind_of_the_track(self, levelled, stage):
        melodic = self.offered(stage, levelled)
        drums = self.offered(stage, levelled, kind="drum")
        kinds = {"MaxPolyphony", "NoteDensity", "TrackLevelNomml"}
        assert kinds & set(melodic) == {"MaxPolyphony", "TrackLevelNomml"}
        assert kinds & set(drums) == {"NoteDensity", "TrackLevelNomml"}

    def test_each_attribute_of_a_track_once(self, levelled, stage):
        offered = self.offered(stage, levelled, "TrackLevelNomml 4", "MaxPolyphony 3")
        assert not {"MaxPolyphony", "TrackLevelNomml"} & set(offered)
        assert "Bar" in offered

    def test_each_attribute_of_a_bar_once(self, levelled, stage):
        words = ("Bar", "BarLevelOnsetPolyphonyMax 3", "BarLevelPitchClassSet 5")
        assert set(self.offered(stage, levelled, *words)) == {"TimeSig"}

    def test_positions_after_an_attribute_lie_in_the_bar(self, levelled, stage):
        score = song("melodic")
        for bar in score.tracks[0].bars:
            bar.ts_numerator, bar.beat_length = 3, 3.0
        words = ("Bar", "TimeSig 1", "BarLevelPitchClassSet 5")
        offered = stage(asked(levelled, score, {"id": 0} | WHOLE), *words).offered
        assert offered["TimeAbsolutePos"] == list(range(36))


def test_q09_every_attribute_asked_of_a_whole_track_is_kept_to(levelled, stage):
    whole = {"id": 0, "attributes": {"nomml": 5, "max_polyphony": 2}} | WHOLE
    offered = stage(asked(levelled, song("melodic"), whole)).offered
    assert (offered["TrackLevelNomml"], offered["MaxPolyphony"]) == ([5], [2])


def test_q10_a_distribution_of_durations_does_not_set_the_duration_of_every_note(stage):
    engine = random_engine(ENCODER | {"attribute_controls": [attribute("note_duration_dist")]})
    whole = {"id": 0, "attributes": {"note_duration_dist": 2}} | WHOLE
    words = ("Bar", "TimeSig 0", "NoteOnset 60")
    offered = stage(asked(engine, song("melodic"), whole), *words).offered
    size = engine.language.tokenizer.vocabulary.domain_size("NoteDuration")
    assert offered == {"NoteDuration": list(range(size))}


class TestQ11:
    """What is asked of a bar of a whole track holds wherever the track stands in the score."""

    @pytest.mark.parametrize("written", [0, 1])
    def test_levels(self, levelled, stage, written):
        asked_of_bar = {"bar_attributes": {"1": {"bar_max_polyphony": 8}}}
        tracks = [{"id": 0, "bars": []}, {"id": 1, "bars": []}]
        tracks[written] |= WHOLE | asked_of_bar
        session = asked(levelled, song("melodic", "melodic"), *tracks)
        free = stage(session, "Bar").offered["BarLevelOnsetPolyphonyMax"]
        assert free == list(range(10))
        assert stage(session, *BAR, "Bar").offered["BarLevelOnsetPolyphonyMax"] == [8]

    def test_in_a_later_window(self, levelled, stage):
        asked_of_bar = {"bar_attributes": {"5": {"bar_max_polyphony": 8}}}
        tracks = [{"id": 0} | WHOLE | asked_of_bar, {"id": 1, "bars": []}]
        session = asked(levelled, song("melodic", "melodic", bars=8), *tracks, bars_per_step=2)
        words = [*BAR * 4, "TrackEnd"]
        for before, levels in ((0, range(10)), (1, [8])):
            offered = stage(session, *words, *BAR * before, "Bar").offered
            assert offered["BarLevelOnsetPolyphonyMax"] == list(levels)


class TestQ12:
    """What is asked of a whole track holds for that track only."""

    @pytest.mark.parametrize("second", [{}, {"attributes": {"max_polyphony": 5}}], ids=str)
    def test_levels(self, levelled, stage, second):
        tracks = [{"id": 0, "attributes": {"max_polyphony": 3}} | WHOLE, {"id": 1} | second | WHOLE]
        session = asked(levelled, song("melodic", "melodic", bars=2), *tracks, model_dim=2)
        assert stage(session).offered["MaxPolyphony"] == [3]
        offered = stage(session, *BAR * 2, "TrackEnd").offered
        assert offered["MaxPolyphony"] == ([5] if second else list(range(10)))

    def test_meters(self, engine, stage):
        tracks = [{"id": 0, "controls": {"time_signature": 1}} | WHOLE, {"id": 1} | WHOLE]
        session = asked(engine, song("melodic", "melodic", bars=2), *tracks, model_dim=2)
        assert stage(session, "Bar").offered["TimeSig"] == [1]
        waltz = ("Bar", "TimeSig 1", *NOTE, "BarEnd")
        offered = stage(session, *waltz * 2, "TrackEnd", "Bar").offered
        assert offered["TimeSig"] == [0, 1]


class TestQ14:
    """All that was not to be written comes back as it was sent, hidden bars too."""

    @pytest.mark.parametrize("mode", ["attention", "remove"])
    def test_hidden_bars(self, engine, score, mode):
        score.tracks[1].bars[0].future = True
        tracks = [{"id": 0, "bars": [1]}, {"id": 1, "bars": [], "mask_bars": [2]}]
        result = asked(engine, score, *tracks, mask_mode=mode).run()
        assert result.tracks[1].bars == score.resample(1920).tracks[1].bars
        assert result.tracks[1].bars[0].future

    def test_side_by_side_as_well(self, engine, score):
        tracks = [CONTINUED, {"id": 1, "bars": []}]
        candidates = asked(engine, score, *tracks, num_candidates=2).run_variations()
        sent = score.resample(1920)
        for candidate in candidates:
            assert candidate["score"].tracks[0].bars[:2] == sent.tracks[0].bars[:2]
            assert candidate["score"].tracks[1] == sent.tracks[1]


class TestQ15:
    """An attempt is compared with what the step found there, at one resolution."""

    FILL = ("TimeAbsolutePos 12", *FILL)

    @pytest.mark.parametrize("resolution", [480, 1920])
    def test_a_result_is_not_new_when_it_comes_back(self, engine, score, monkeypatch, resolution):
        fill = [{"id": 0, "bars": [1]}, {"id": 1, "bars": []}]
        session = asked(engine, score, *fill)
        follow(monkeypatch, session, self.FILL)
        written = session.run().resample(resolution)

        again = asked(engine, written, *fill, max_attempts=1)
        follow(monkeypatch, again, self.FILL)
        with pytest.raises(GenerationError, match="novelty_check"):
            again.run()

    def test_only_the_bars_of_the_step_count(self, monkeypatch):
        """Reading a bar of a later step changes it: the encoder has no word for its pitch."""
        engine, score = random_engine(ENCODER | {"pitch_range": [36, 83]}), song("melodic")
        score.tracks[0].bars[2].notes = [Note(20, 80, 0, 480)]
        session = asked(engine, score, {"id": 0, "bars": [1, 2]}, max_attempts=1)
        follow(monkeypatch, session, ["NoteOnset 24", "NoteDuration 11", "FillInEnd"])
        with pytest.raises(GenerationError, match="novelty_check"):
            session.run()

    def test_ignored_tracks_do_not_confuse_it(self, engine, monkeypatch):
        score = song("melodic", "melodic")
        score.tracks[0].bars[1].notes = [Note(50, 80, 0, 480)]
        tracks = [{"id": 0, "bars": [], "ignore": True}, {"id": 1, "bars": [1]}]
        session = asked(engine, score, *tracks, max_attempts=1)
        follow(monkeypatch, session, ["NoteOnset 60", "NoteDuration 11", "FillInEnd"])
        with pytest.raises(GenerationError, match="novelty_check"):
            session.run()

    def test_nor_is_what_was_between_the_lines_of_the_grid(self, engine, score, monkeypatch):
        again = [
            word
            for position in ("", "TimeAbsolutePos 12", "TimeAbsolutePos 24", "TimeAbsolutePos 36")
            for word in (position, "NoteOnset 62", "NoteDuration 3")
            if word
        ]
        fill = [{"id": 0, "bars": [1]}, {"id": 1, "bars": []}]
        session = asked(engine, score, *fill, max_attempts=1)
        follow(monkeypatch, session, [*again, "FillInEnd"])
        with pytest.raises(GenerationError, match="novelty_check"):
            session.run()


@pytest.mark.parametrize("temperature", [1e-6, 1e-38, 1e-300])
def test_q17_a_tiny_temperature_is_the_argmax(temperature):
    """Also where a logit divided by it is infinite."""
    everything = torch.ones(1, 3, dtype=torch.bool)
    logits = torch.tensor([[9.0, 9.5, -20.0]])
    probs = sampling.probabilities(logits, everything, torch.tensor([[temperature]]))
    assert probs.tolist() == [[0.0, 1.0, 0.0]]


def test_q18_cancelling_while_a_prompt_is_read_leaves_its_bars_as_they_were(engine, monkeypatch):
    score = song("melodic")
    session = asked(engine, score, {"id": 0, "bars": [1, 2]})
    follow(monkeypatch, session, FILL)
    read = engine.decoder.prefill

    def prefill(row, tokens, hidden, check):
        if session.gen_count:
            session.cancel_event.set()
        return read(row, tokens, hidden, check)

    monkeypatch.setattr(engine.decoder, "prefill", prefill)
    with pytest.raises(GenerationCancelled) as cancelled:
        session.run()
    bars = cancelled.value.partial.tracks[0].bars
    assert [[note.pitch for note in bar.notes] for bar in bars] == [[60], [72], [60], [60]]


def test_q20_the_encoder_config_stays_as_it_is(engine, score):
    before = engine.language.tokenizer.config.to_dict()
    asked(engine, score, {"id": 0, "bars": [1]}, {"id": 1, "bars": []}, model_dim=2).run()
    assert engine.language.tokenizer.config.to_dict() == before


def test_q22_a_shape_that_leaves_nothing_is_ignored(engine, score):
    """Here the rest of a remix keeps pitches that the shape rules out."""
    controls = {
        "remix": {"amount": 0.01},
        "pitch_mask": {"shape": {"type": "uniform", "min": 0, "max": 10}},
    }
    fill = {"id": 0, "bars": [1], "controls": controls}
    result = asked(engine, score, fill, {"id": 1, "bars": []}).run()
    pitches = [note.pitch for note in result.tracks[0].bars[1].notes]
    assert len(pitches) == 4
    assert pitches.count(62) == 3
    assert min(pitches) <= 10


def test_q23_debug_logging_changes_nothing(engine, score, caplog, monkeypatch):
    from midigpt.inference import events

    monkeypatch.setattr(events, "INTERVAL", -1.0)

    def told():
        session = asked(engine, score, {"id": 0, "bars": [1]}, {"id": 1, "bars": []})
        story = []
        session.note_sink = lambda notes: story.append(len(notes))
        session.progress_sink = lambda: story.append("progress")
        session.run()
        return story

    quiet = told()
    caplog.set_level(logging.DEBUG)
    assert told() == quiet
    assert "progress" in quiet


def test_q24_a_continuation_without_room_ends_in_the_middle_and_says_so(score, monkeypatch):
    """Two bars were to be written; what there is of the first is kept."""
    tracks = [CONTINUED, {"id": 1, "bars": []}]
    encoder = ENCODER | {"num_bars_map": [4]}
    prompt = play(monkeypatch, asked(random_engine(encoder), score, *tracks)).prompts[0]
    engine = random_engine(encoder, context=len(prompt) + 21)
    session = asked(engine, score, *tracks, context="all")
    follow(monkeypatch, session, ["Bar", "TimeSig 0", *NOTE * 9])

    bars = session.run().tracks[0].bars

    assert session.truncated
    assert bars[:2] == score.resample(1920).tracks[0].bars[:2]
    assert [note.pitch for note in bars[2].notes] == [72] * 9
    assert bars[3] == Bar()


@pytest.mark.parametrize(
    "control", [{"rhythm_mask": {"positions": [{"pos": 0}]}}, {"remix": {"amount": 1}}], ids=str
)
def test_q26_a_forced_rhythm_leaves_microtiming_alone(stage, control):
    """Where no note may follow at once, because the sign of its microtiming has been said."""
    engine = random_engine(ENCODER | {"emit_delta_tokens": True})
    session = asked(engine, song("melodic"), {"id": 0, "bars": [1], "controls": control})
    assert set(stage(session, "DeltaDirection 0").offered) == {"Delta"}


def test_pitch_class_sets_are_not_in_prompts(levelled, stage):
    """No published model has seen them there (Q2 of the tokenizer); validation says so."""
    fill = {"id": 0, "bars": [1], "bar_attributes": {"1": {"pitch_class_set": 3}}}
    session = asked(levelled, song("melodic"), fill)
    (prompt,) = stage(session).prompts
    assert "BarLevelOnsetPolyphonyMax" in dict(prompt)
    assert "BarLevelPitchClassSet" not in dict(prompt)
    assert "pitch_class_set" in session.warnings[0]
