"""What a step shows the model: the window, its hidden bars, and where writing begins."""

import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.inference import InferenceConfig
from midigpt.inference.plan import Step
from midigpt.inference.prompt import Block, build, shift_bars, with_levels
from midigpt.inference.task import Part, Task


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

    prompt = build(work, step, Score([track(60), track(40)], 12), tokenizer)

    assert words(prompt.tokens) == (
        "PieceStart1 NumBars1 "
        "Track Instrument [ ts 60 ] [ ts PH ] [ ts 60 ] [ ts 60 ] TrackEnd "
        "Track Instrument [ ts 40 ] [ ts 40 ] [ ts 40 ] [ ts 40 ] TrackEnd FillInStart"
    )
    assert prompt.order == (0, 1)
    assert prompt.hidden == ()


def test_blocks_are_the_targets_by_track_and_bar(tokenizer):
    step = Step((0, 4), False, frozenset({(1, 0), (0, 3), (0, 1)}))
    work = task(part(bars=frozenset({1, 3})), part(1, bars=frozenset({0}), drum=True))
    score = Score([track(60), track(40, track_type="drum")], 12)
    score.tracks[0].bars[3].ts_numerator = 3

    prompt = build(work, step, score, tokenizer)

    assert prompt.blocks == (
        Block(0, 1, drum=False, limit=48),
        Block(0, 3, drum=False, limit=36),
        Block(1, 0, drum=True, limit=48),
    )


def test_a_continuation_comes_last_and_stays_open(tokenizer, words):
    step = Step((0, 4), True, frozenset({(0, 2), (0, 3)}))
    work = task(part(bars=frozenset({2, 3}), autoregressive=True), part(1))

    prompt = build(work, step, Score([track(60), track(40)], 12), tokenizer)

    assert words(prompt.tokens) == (
        "PieceStart NumBars1 "
        "Track Instrument [ ts 40 ] [ ts 40 ] [ ts 40 ] [ ts 40 ] TrackEnd "
        "Track Instrument [ ts 60 ] [ ts 60 ]"
    )
    assert prompt.order == (1, 0)
    assert prompt.blocks == ()


def test_a_track_from_its_first_bar_begins_with_its_header(tokenizer, words):
    step = Step((0, 4), True, frozenset((0, bar) for bar in range(4)))
    work = task(part(bars=frozenset(range(4)), autoregressive=True))
    prompt = build(work, step, Score([track(60)], 12), tokenizer)
    assert words(prompt.tokens) == "PieceStart NumBars1 Track Instrument"


def test_hidden_bars_are_empty_shells_that_nothing_attends_to(tokenizer, words):
    step = Step((0, 4), False, frozenset({(0, 0)}))
    work = task(part(bars=frozenset({0}), hidden=frozenset({2, 3})))

    prompt = build(work, step, Score([track(60)], 12), tokenizer)

    assert words(prompt.tokens) == (
        "PieceStart1 NumBars1 Track Instrument [ ts PH ] [ ts 60 ] [ ts ] [ ts ] TrackEnd "
        "FillInStart"
    )
    assert [words(prompt.tokens[start:end]) for start, end in prompt.hidden] == ["[ ts ]"] * 2


def test_removed_bars_are_shells_in_plain_sight(tokenizer, words):
    step = Step((0, 2), False, frozenset({(0, 0)}))
    work = task(part(bars=frozenset({0}), hidden=frozenset({1})), mask_mode="remove")
    prompt = build(work, step, Score([track(60, 2)], 12), tokenizer)
    assert words(prompt.tokens).endswith("[ ts PH ] [ ts ] TrackEnd FillInStart")
    assert prompt.hidden == ()


def test_only_the_window_is_shown(tokenizer, words):
    score = Score([Track([Bar([Note(60 + bar, 80, 0, 12)]) for bar in range(6)])], 12)
    step = Step((2, 4), False, frozenset({(0, 3)}))
    prompt = build(task(part(bars=frozenset({3}))), step, score, tokenizer)
    assert words(prompt.tokens) == (
        "PieceStart1 NumBars Track Instrument [ ts 62 ] [ ts PH ] TrackEnd FillInStart"
    )


def test_bar_levels_move_with_the_window():
    """The reference read the level of local bar 0 in every window (Q-03)."""
    levels = {"min_polyphony": 3, "bar_Tension_4": 7, "bar_end": 1}
    assert shift_bars(levels, -4) == {"min_polyphony": 3, "bar_Tension_0": 7, "bar_end": 1}
    assert shift_bars({"bar_Tension_0": 7}, 4) == {"bar_Tension_4": 7}


class TestLevels:
    @pytest.fixture
    def analyzer(self):
        from midigpt.attributes import AttributeAnalyzer
        from midigpt.tokens import EncoderConfig

        controls = [
            {"name": "polyphony_quantile", "params": {"mode": "max"}},
            {"name": "polyphony_quantile", "params": {"mode": "max", "level": "bar"}},
        ]
        return AttributeAnalyzer.from_config(EncoderConfig.parse({"attribute_controls": controls}))

    def attributes(self, work, score, analyzer):
        return [track.attributes for track in with_levels(work, score, analyzer).tracks]

    def test_levels_are_measured_for_the_whole_track(self, analyzer):
        chord = Bar([Note(60, 80, 0, 12), Note(64, 80, 0, 12)])
        score = Score([Track([chord, Bar([Note(60, 80, 0, 12)])])], 12)
        assert self.attributes(task(part(bars=frozenset({0}))), score, analyzer) == [
            {
                "max_polyphony": 1,
                "bar_BarLevelOnsetPolyphonyMax_0": 1,
                "bar_BarLevelOnsetPolyphonyMax_1": 0,
            }
        ]

    def test_the_request_has_the_last_word(self, analyzer):
        asked = part(
            bars=frozenset({0}),
            attributes={"max_polyphony": 4},
            bar_attributes={1: {"bar_max_polyphony": 6}},
        )
        (levels,) = self.attributes(task(asked), Score([track(60, 2)], 12), analyzer)
        assert levels["max_polyphony"] == 4
        assert levels["bar_BarLevelOnsetPolyphonyMax_1"] == 6

    def test_a_track_from_its_first_bar_keeps_what_the_model_wrote(self, analyzer):
        written = part(bars=frozenset({0, 1}), autoregressive=True, attributes={"max_polyphony": 4})
        score = Score([track(60, 2, attributes={"max_polyphony": 2})], 12)
        assert self.attributes(task(written), score, analyzer) == [{"max_polyphony": 2}]

    def test_the_score_is_not_modified(self, analyzer):
        score = Score([track(60, 2)], 12)
        with_levels(task(part(bars=frozenset({0}))), score, analyzer)
        assert score.tracks[0].attributes == {}
