"""The score while it is written: steps change their window, and nothing else."""

from random import Random

import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.inference import InferenceConfig
from midigpt.inference.draft import Draft
from midigpt.inference.language import Language
from midigpt.inference.plan import Step
from midigpt.inference.prompt import build
from midigpt.inference.task import Part, Task
from tests.inference.conftest import ENCODER

NOTE_72 = ["VelocityLevel 20", "NoteOnset 72", "NoteDuration 11"]
FILL = [*NOTE_72, "FillInEnd"]
BAR = ["Bar", "TimeSig 0", *NOTE_72, "BarEnd"]
LEVELS = {
    "attribute_controls": [
        {"name": "polyphony_quantile", "params": {"mode": "max"}},
        {"name": "polyphony_quantile", "params": {"mode": "max", "level": "bar"}},
    ]
}


@pytest.fixture(scope="module")
def language():
    return Language.of(ENCODER)


@pytest.fixture(scope="module")
def levelled():
    return Language.of(ENCODER | LEVELS)


def part(id_=0, *, bars=(), autoregressive=False, **asked):
    settings = {"attributes": {}, "bar_attributes": {}, "hidden": frozenset(), "drum": False}
    return Part(id=id_, bars=frozenset(bars), autoregressive=autoregressive, **(settings | asked))


def task(*parts):
    config = InferenceConfig(mask_mode="attention")
    return Task(config, 4, 1, 1, parts, 0, True, True, -1, False, None)


def melody(*pitches, **kwargs):
    """One note on the first beat of each bar; None leaves a bar empty."""
    bars = [Bar([] if p is None else [Note(p, 61, 7, 480)]) for p in pitches]
    return Track(bars, **kwargs)


def fills(start, end, *cells):
    return Step((start, end), False, frozenset(cells))


def continues(start, end, *cells):
    return Step((start, end), True, frozenset(cells))


def take(work, draft, step, language, words, **how):
    """What a step makes of its window when it samples these words."""
    tokenizer = language.tokenizer
    prompt = build(work, step, draft.window(step.window), tokenizer, **how)
    spelled = (word.partition(" ") for word in words)
    sampled = [tokenizer.vocabulary.encode(type_, int(value or 0)) for type_, _, value in spelled]
    return draft.take(step, prompt, sampled)


def after(language, score, parts, step, *words, **how):
    """The score after one step, every bar of it."""
    work = task(*parts)
    draft = Draft(work, score, language)
    draft.accept(take(work, draft, step, language, words, **how))
    everything = {(t, b) for t, track in enumerate(score.tracks) for b in range(len(track.bars))}
    return draft.answer(everything)


def pitches(track):
    return [[note.pitch for note in bar.notes] for bar in track.bars]


class TestSteps:
    def test_a_fill_lands_in_its_bar(self, language):
        score = Score([melody(60, None, 62, 63), melody(40, 41, 42, 43)], 1920)
        parts = [part(bars=[1]), part(1)]
        written = after(language, score, parts, fills(0, 4, (0, 1)), *FILL)
        assert pitches(written.tracks[0]) == [[60], [72], [62], [63]]
        assert pitches(written.tracks[1]) == [[40], [41], [42], [43]]
        assert written.tracks[0].bars[1].notes == [Note(72, 80, 0, 1920)]

    def test_a_window_lands_in_its_place(self, language):
        score = Score([melody(60, 61, None, 63, 64, 65)], 1920)
        written = after(language, score, [part(bars=[2])], fills(1, 5, (0, 2)), *FILL)
        assert pitches(written.tracks[0]) == [[60], [61], [72], [63], [64], [65]]

    def test_a_continuation_goes_back_to_its_place_among_the_tracks(self, language):
        score = Score([melody(60, None), melody(40, 41)], 1920)
        parts = [part(bars=[1], autoregressive=True), part(1)]
        written = after(language, score, parts, continues(0, 2, (0, 1)), *BAR, "TrackEnd")
        assert pitches(written.tracks[0]) == [[60], [72]]
        assert pitches(written.tracks[1]) == [[40], [41]]

    def test_a_continuations_history_is_kept_as_it_was(self, language):
        score = Score([melody(60, None)], 1920)
        parts = [part(bars=[1], autoregressive=True)]
        written = after(language, score, parts, continues(0, 2, (0, 1)), *BAR, "TrackEnd")
        assert written.tracks[0].bars[0].notes == [Note(60, 61, 7, 480)]

    def test_bars_that_were_not_reached_come_back_empty_in_their_meter(self, language):
        """At the end of the window, which is not the end of the piece."""
        score = Score([melody(59, 60, 61, None, 64, 65)], 1920)
        score.tracks[0].bars[3] = Bar([], 3, 4)
        parts, step = [part(bars=[2, 3], autoregressive=True)], continues(0, 4, (0, 2), (0, 3))
        bars = after(language, score, parts, step, *BAR[:-1]).tracks[0].bars
        notes = [[note.pitch for note in bar.notes] for bar in bars]
        assert notes == [[59], [60], [72], [], [64], [65]]
        assert [bar.ts_numerator for bar in bars] == [4, 4, 4, 3, 4, 4]
        assert bars[3].beat_length == 3

    def test_an_unfinished_fill_counts_as_far_as_it_goes(self, language):
        score = Score([melody(60, None)], 1920)
        step = fills(0, 2, (0, 1))
        written = after(language, score, [part(bars=[1])], step, *NOTE_72, "VelocityLevel 3")
        assert pitches(written.tracks[0]) == [[60], [72]]

    def test_bars_that_were_not_shown_are_left_as_they_are(self, language):
        score = Score([melody(60, None)], 1920)
        step = fills(0, 2, (0, 1))
        written = after(language, score, [part(bars=[1])], step, *FILL, forgotten=1)
        assert written.tracks[0].bars[0].notes == [Note(60, 61, 7, 480)]
        assert written.tracks[0].bars[1].notes == [Note(72, 80, 0, 1920)]

    def test_nothing_changes_before_a_take_is_accepted(self, language):
        score, work = Score([melody(60, None)], 1920), task(part(bars=[1]))
        draft = Draft(work, score, language)
        before = draft.window((0, 2))
        take(work, draft, fills(0, 2, (0, 1)), language, FILL)
        assert draft.window((0, 2)) == before


@pytest.mark.parametrize("microtiming", [False, True])
@pytest.mark.parametrize("resolution", [96, 480, 1920])
def test_bars_outside_the_window_stand_on_the_token_grid(microtiming, resolution):
    """As if every bar were brought there and back after every step."""
    random = Random(resolution)
    language = Language.of(ENCODER | {"emit_delta_tokens": microtiming})
    tokenizer = language.tokenizer
    notes = [
        Note(60, 61, random.randrange(4 * resolution), random.randrange(1, resolution), delta)
        for delta in range(-20, 80)
    ]
    score = Score([Track([Bar(), Bar(), *(Bar([note]) for note in notes)])], resolution)
    work = task(part(bars=[1]))
    draft = Draft(work, score, language)
    expected, outside = score, range(2, len(notes) + 2)
    for _ in range(3):
        draft.accept(take(work, draft, fills(0, 2, (0, 1)), language, FILL))
        expected = tokenizer.from_grid(tokenizer.to_grid(expected))
        read = draft.read((0, b) for b in outside)
        assert list(read.values()) == tokenizer.to_grid(expected).tracks[0].bars[2:]
        assert (
            draft.answer({(0, b) for b in outside}).tracks[0].bars[2:]
            == (expected.tracks[0].bars[2:])
        )


class TestLevels:
    BAR_LEVEL = "bar_BarLevelOnsetPolyphonyMax"

    def told(self, language, score, *parts, window=None):
        """The levels of the tracks in a window, by default of all bars."""
        window = window or (0, len(score.tracks[0].bars))
        draft = Draft(task(*parts), score, language)
        return [track.attributes for track in draft.window(window).tracks]

    def test_levels_are_measured_for_the_whole_track(self, levelled):
        score = Score([melody(60, 61)], 1920)
        score.tracks[0].bars[0].notes *= 2
        levels = {"max_polyphony": 1, f"{self.BAR_LEVEL}_0": 1, f"{self.BAR_LEVEL}_1": 0}
        assert self.told(levelled, score, part(bars=[0])) == [levels]
        levels = {"max_polyphony": 1, f"{self.BAR_LEVEL}_0": 0}
        assert self.told(levelled, score, part(bars=[0]), window=(1, 2)) == [levels]

    def test_the_request_has_the_last_word(self, levelled):
        asked = part(
            bars=[0], attributes={"max_polyphony": 4}, bar_attributes={1: {"bar_max_polyphony": 6}}
        )
        (levels,) = self.told(levelled, Score([melody(60, 61)], 1920), asked)
        assert levels["max_polyphony"] == 4
        assert levels[f"{self.BAR_LEVEL}_1"] == 6

    def test_a_track_from_its_first_bar_keeps_what_the_model_wrote(self, levelled):
        written = part(bars=[0, 1], autoregressive=True, attributes={"max_polyphony": 4})
        score = Score([melody(60, 61, attributes={"max_polyphony": 2})], 1920)
        assert self.told(levelled, score, written) == [{"max_polyphony": 2}]

    def test_also_of_bars_that_a_later_step_was_not_shown(self, levelled):
        """There was no room for them in its prompt."""
        stored = {f"{self.BAR_LEVEL}_{bar}": 3 + bar for bar in range(2)}
        parts = [part(bars=[0, 1], autoregressive=True), part(1, bars=[1])]
        score = Score([melody(60, 61, attributes=stored), melody(60, 61)], 1920)
        step = fills(0, 2, (1, 1))
        written = after(levelled, score, parts, step, *FILL, forgotten=1)
        assert written.tracks[0].attributes == stored

    def test_the_score_is_not_modified(self, levelled):
        score = Score([melody(60, 61)], 1920)
        self.told(levelled, score, part(bars=[0]))
        assert score.tracks[0].attributes == {}

    def test_in_the_end_tracks_have_the_levels_that_the_model_was_told_last(self, levelled):
        """Outside the last window those measured before it, inside those of its prompt."""
        score = Score([melody(60, 61, 62)], 1920)
        score.tracks[0].bars[2].notes *= 3
        asked = part(bars=[0], bar_attributes={0: {"bar_max_polyphony": 6}})
        written = after(levelled, score, [asked], fills(0, 2, (0, 0)), *FILL)
        assert written.tracks[0].attributes == {
            "max_polyphony": 2,
            f"{self.BAR_LEVEL}_0": 6,
            f"{self.BAR_LEVEL}_1": 0,
            f"{self.BAR_LEVEL}_2": 2,
        }


class TestAnswer:
    """Whatever the model makes of the context, the caller gets it back as it was sent (Q-14)."""

    def answer(self, language, score, *parts, written):
        """After a step that has changed all bars of the window."""
        work = task(*parts)
        draft = Draft(work, score, language)
        draft.accept(take(work, draft, fills(0, 2, (0, 1)), language, FILL))
        return draft.answer(written)

    def test_bars_that_were_not_written_are_the_ones_sent(self, language):
        score = Score([melody(60, 61, instrument=7), melody(40, 41, track_type="drum")], 1920)
        answer = self.answer(language, score, part(bars=[1]), part(1), written={(0, 1)})
        assert pitches(answer.tracks[0]) == [[60], [72]]
        assert answer.tracks[0].bars[0] == score.tracks[0].bars[0]
        assert answer.tracks[0].instrument == 7
        assert answer.tracks[1] == score.tracks[1]

    def test_hidden_bars_keep_their_notes_and_their_flag(self, language):
        score = Score([melody(60, 61)], 1920)
        score.tracks[0].bars[0].future = True
        hidden = part(bars=[1], hidden=frozenset({0}))
        answer = self.answer(language, score, hidden, written={(0, 1)})
        assert answer.tracks[0].bars[0] == score.tracks[0].bars[0]

    def test_everything_is_told_at_the_resolution_of_the_answer(self, language):
        score = Score([melody(60, 61)], 480, tempo=400_000)
        answer = self.answer(language, score, part(bars=[1]), written={(0, 1)})
        assert (answer.resolution, answer.tempo) == (1920, 400_000)
        assert answer.tracks[0].bars[0].notes == [Note(60, 61, 28, 1920)]

    def test_ignored_tracks_stay_where_they_were(self, language):
        score = Score([melody(60, 60), melody(61, 61), melody(62, 62)], 1920)
        answer = self.answer(language, score, part(1, bars=[1]), written={(0, 1)})
        assert [pitches(track) for track in answer.tracks] == [
            [[60], [60]],
            [[61], [72]],
            [[62], [62]],
        ]

    def test_bars_that_were_planned_but_not_written_are_the_ones_sent(self, language):
        score = Score([melody(60, 61)], 1920)
        answer = self.answer(language, score, part(bars=[1]), written=set())
        assert pitches(answer.tracks[0]) == [[60], [61]]
