"""A step's tokens go back into the score; nothing else changes."""

import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.inference import InferenceConfig
from midigpt.inference.merge import merge, restore
from midigpt.inference.plan import Step
from midigpt.inference.prompt import build
from midigpt.inference.task import Part, Task


def part(id_=0, *, bars=(), hidden=(), autoregressive=False, drum=False):
    return Part(id_, frozenset(bars), frozenset(hidden), autoregressive, drum, {}, {})


def task(*parts, **config):
    settled = InferenceConfig(mask_mode="attention", **config)
    return Task(settled, 4, 1, 1, parts, 0, True, True, -1, False, None)


def melody(*pitches, **kwargs):
    """One note on the first beat of each bar; None leaves a bar empty."""
    bars = [Bar([] if p is None else [Note(p, 61, 7, 480)]) for p in pitches]
    return Track(bars, **kwargs)


@pytest.fixture
def take(tokenizer, token):
    """Sample the given tokens in a step, and merge them."""

    def taken(work, step, score, *sampled):
        grid = tokenizer.to_grid(score)
        prompt = build(work, step, grid, tokenizer)
        tokens = [token(*spelled) for spelled in sampled]
        return merge(
            step, prompt=prompt, sampled=tokens, working=score, grid=grid, tokenizer=tokenizer
        )

    return taken


NOTE_72 = [("VelocityLevel", 20), ("NoteOnset", 72), ("NoteDuration", 11)]


def pitches(track):
    return [[note.pitch for note in bar.notes] for bar in track.bars]


def test_a_fill_lands_in_its_bar(take):
    score = Score([melody(60, None, 62, 63), melody(40, 41, 42, 43)], 1920)
    step = Step((0, 4), False, frozenset({(0, 1)}))

    merged = take(task(part(bars=[1]), part(1)), step, score, *NOTE_72, ("FillInEnd",))

    assert pitches(merged.tracks[0]) == [[60], [72], [62], [63]]
    assert pitches(merged.tracks[1]) == [[40], [41], [42], [43]]
    assert merged.tracks[0].bars[1].notes == [Note(72, 80, 0, 1920)]


def test_a_window_lands_in_its_place(take):
    score = Score([melody(60, 61, None, 63, 64, 65)], 1920)
    step = Step((1, 5), False, frozenset({(0, 2)}))

    merged = take(task(part(bars=[2])), step, score, *NOTE_72, ("FillInEnd",))

    assert pitches(merged.tracks[0]) == [[60], [61], [72], [63], [64], [65]]


def test_a_continuation_goes_back_to_its_place_among_the_tracks(take):
    score = Score([melody(60, None), melody(40, 41)], 1920)
    step = Step((0, 2), True, frozenset({(0, 1)}))
    bar = [("Bar",), ("TimeSig", 0), *NOTE_72, ("BarEnd",), ("TrackEnd",)]

    merged = take(task(part(bars=[1], autoregressive=True), part(1)), step, score, *bar)

    assert pitches(merged.tracks[0]) == [[60], [72]]
    assert pitches(merged.tracks[1]) == [[40], [41]]


def test_a_continuations_history_is_kept_as_it_was(take):
    score = Score([melody(60, None)], 1920)
    step = Step((0, 2), True, frozenset({(0, 1)}))
    bar = [("Bar",), ("TimeSig", 0), *NOTE_72, ("BarEnd",), ("TrackEnd",)]

    merged = take(task(part(bars=[1], autoregressive=True)), step, score, *bar)

    assert merged.tracks[0].bars[0].notes == [Note(60, 61, 7, 480)]


def test_bars_that_were_not_reached_come_back_empty_in_their_meter(take):
    score = Score([melody(59, 60, None, None)], 1920)
    score.tracks[0].bars[3] = Bar([], 3, 4)
    step = Step((0, 4), True, frozenset({(0, 2), (0, 3)}))
    unfinished = [("Bar",), ("TimeSig", 0), *NOTE_72]

    merged = take(task(part(bars=[2, 3], autoregressive=True)), step, score, *unfinished)

    assert pitches(merged.tracks[0]) == [[59], [60], [72], []]
    assert (merged.tracks[0].bars[3].ts_numerator, merged.tracks[0].bars[3].beat_length) == (3, 3.0)


def test_an_unfinished_fill_counts_as_far_as_it_goes(take):
    score = Score([melody(60, None)], 1920)
    step = Step((0, 2), False, frozenset({(0, 1)}))
    merged = take(task(part(bars=[1])), step, score, *NOTE_72, ("VelocityLevel", 3))
    assert pitches(merged.tracks[0]) == [[60], [72]]


class TestRestore:
    """Whatever the model makes of the context, the caller gets it back as it was sent (Q-14)."""

    def result(self, score):
        """A working score in which everything has become something else."""
        return Score(
            [melody(*[99] * len(track.bars), instrument=5) for track in score.tracks], 1920
        )

    def test_bars_that_were_not_written_are_the_ones_sent(self):
        score = Score([melody(60, 61, instrument=7), melody(40, 41, track_type="drum")], 1920)
        restored = restore(
            score,
            self.result(score),
            task(part(bars=[1]), part(1)),
            written={(0, 1)},
            resolution=1920,
        )
        assert pitches(restored.tracks[0]) == [[60], [99]]
        assert restored.tracks[0].bars[0] == score.tracks[0].bars[0]
        assert restored.tracks[0].instrument == 7
        assert restored.tracks[1] == score.tracks[1]

    def test_hidden_bars_keep_their_notes_and_their_flag(self):
        score = Score([melody(60, 61)], 1920)
        score.tracks[0].bars[0].future = True
        restored = restore(
            score,
            self.result(score),
            task(part(bars=[1], hidden=[0])),
            written={(0, 1)},
            resolution=1920,
        )
        assert restored.tracks[0].bars[0] == score.tracks[0].bars[0]

    def test_everything_is_told_at_the_resolution_of_the_result(self):
        score = Score([melody(60, 61)], 480, tempo=400_000)
        restored = restore(
            score, self.result(score), task(part(bars=[1])), written={(0, 1)}, resolution=1920
        )
        assert (restored.resolution, restored.tempo) == (1920, 400_000)
        assert restored.tracks[0].bars[0].notes == [Note(60, 61, 28, 1920)]

    def test_ignored_tracks_stay_where_they_were(self):
        score = Score([melody(60), melody(61), melody(62)], 1920)
        result = Score([melody(99)], 1920)
        restored = restore(
            score, result, task(part(1, bars=[0])), written={(0, 0)}, resolution=1920
        )
        assert [pitches(track) for track in restored.tracks] == [[[60]], [[99]], [[62]]]

    def test_bars_that_were_planned_but_not_written_are_the_ones_sent(self):
        score = Score([melody(60, 61)], 1920)
        restored = restore(
            score, self.result(score), task(part(bars=[0, 1])), written=set(), resolution=1920
        )
        assert pitches(restored.tracks[0]) == [[60], [61]]
