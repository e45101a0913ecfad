"""What a step shows the model: the window, its hidden bars, and where writing begins."""

import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.inference import InferenceConfig, prompt
from midigpt.inference.levels import cut
from midigpt.inference.plan import Step
from midigpt.inference.prompt import Block
from midigpt.inference.task import Part, Task


def build(work, step, score, tokenizer):
    return prompt.build(work, step, cut(score, step.window), tokenizer)


def part(id_=0, **kwargs):
    settings = {
        "bars": frozenset(),
        "hidden": frozenset(),
        "autoregressive": False,
        "drum": False,
        "attributes": {},
        "bar_attributes": {},
    }
    return Part(id_, **(settings | kwargs))


def task(*parts, mask_mode="attention", genre=-1):
    config = InferenceConfig(mask_mode=mask_mode)
    return Task(config, 4, 1, 1, parts, 0, True, True, genre, False, None)


def track(pitch, bars=4, **kwargs):
    return Track([Bar([Note(pitch, 80, 0, 12)]) for _ in range(bars)], **kwargs)


@pytest.fixture
def words(vocabulary):
    """A prompt in words: the structure as it is called, every note as its pitch."""
    short = {"Bar": "[", "BarEnd": "]", "TimeSig": "ts", "FillInPlaceholder": "PH"}
    skip = {"VelocityLevel", "NoteDuration"}

    def spelled(tokens):
        decoded = [vocabulary.decode(token) for token in tokens]
        return " ".join(
            str(value) if type_ == "NoteOnset" else short.get(type_, f"{type_}{value or ''}")
            for type_, value in decoded
            if type_ not in skip
        )

    return spelled


def test_an_infill_ends_with_the_start_of_the_first_fill(tokenizer, words):
    step = Step((0, 4), False, frozenset({(0, 1)}))
    work = task(part(bars=frozenset({1})), part(1))

    told = build(work, step, Score([track(60), track(40)], 12), tokenizer)

    assert words(told.tokens) == (
        "PieceStart1 NumBars1 "
        "Track Instrument [ ts 60 ] [ ts PH ] [ ts 60 ] [ ts 60 ] TrackEnd "
        "Track Instrument [ ts 40 ] [ ts 40 ] [ ts 40 ] [ ts 40 ] TrackEnd FillInStart"
    )
    assert told.order == (0, 1)
    assert told.hidden == ()


def test_blocks_are_the_targets_by_track_and_bar(tokenizer):
    step = Step((0, 4), False, frozenset({(1, 0), (0, 3), (0, 1)}))
    work = task(part(bars=frozenset({1, 3})), part(1, bars=frozenset({0}), drum=True))
    score = Score([track(60), track(40, track_type="drum")], 12)
    score.tracks[0].bars[3].ts_numerator = 3

    told = build(work, step, score, tokenizer)

    assert told.blocks == (
        Block(0, 1, drum=False, limit=48),
        Block(0, 3, drum=False, limit=36),
        Block(1, 0, drum=True, limit=48),
    )


def test_a_continuation_comes_last_and_stays_open(tokenizer, words):
    step = Step((0, 4), True, frozenset({(0, 2), (0, 3)}))
    work = task(part(bars=frozenset({2, 3}), autoregressive=True), part(1))

    told = build(work, step, Score([track(60), track(40)], 12), tokenizer)

    assert words(told.tokens) == (
        "PieceStart NumBars1 "
        "Track Instrument [ ts 40 ] [ ts 40 ] [ ts 40 ] [ ts 40 ] TrackEnd "
        "Track Instrument [ ts 60 ] [ ts 60 ]"
    )
    assert told.order == (1, 0)
    assert told.blocks == ()


def test_a_track_from_its_first_bar_begins_with_its_header(tokenizer, words):
    step = Step((0, 4), True, frozenset((0, bar) for bar in range(4)))
    work = task(part(bars=frozenset(range(4)), autoregressive=True))
    told = build(work, step, Score([track(60)], 12), tokenizer)
    assert words(told.tokens) == "PieceStart NumBars1 Track Instrument"


def test_hidden_bars_are_empty_shells_that_nothing_attends_to(tokenizer, words):
    step = Step((0, 4), False, frozenset({(0, 0)}))
    work = task(part(bars=frozenset({0}), hidden=frozenset({2, 3})))

    told = build(work, step, Score([track(60)], 12), tokenizer)

    assert words(told.tokens) == (
        "PieceStart1 NumBars1 Track Instrument [ ts PH ] [ ts 60 ] [ ts ] [ ts ] TrackEnd "
        "FillInStart"
    )
    assert [words(told.tokens[start:end]) for start, end in told.hidden] == ["[ ts ]"] * 2


def test_removed_bars_are_shells_in_plain_sight(tokenizer, words):
    step = Step((0, 2), False, frozenset({(0, 0)}))
    work = task(part(bars=frozenset({0}), hidden=frozenset({1})), mask_mode="remove")
    told = build(work, step, Score([track(60, 2)], 12), tokenizer)
    assert words(told.tokens).endswith("[ ts PH ] [ ts ] TrackEnd FillInStart")
    assert told.hidden == ()


def test_only_the_window_is_shown(tokenizer, words):
    score = Score([Track([Bar([Note(60 + bar, 80, 0, 12)]) for bar in range(6)])], 12)
    step = Step((2, 4), False, frozenset({(0, 3)}))
    told = build(task(part(bars=frozenset({3}))), step, score, tokenizer)
    assert words(told.tokens) == (
        "PieceStart1 NumBars Track Instrument [ ts 62 ] [ ts PH ] TrackEnd FillInStart"
    )
