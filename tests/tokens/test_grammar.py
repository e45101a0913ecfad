import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midigpt.tokens import EncoderConfig, Vocabulary
from midigpt.tokens.grammar import GrammarTable
from tests.tokens.words import hear

CONFIG = EncoderConfig.parse({"resolution": 2, "time_signatures": ["4/4", "3/4", "5/16"]})
VOCABULARY = Vocabulary(
    [
        ("PieceStart", 2),
        ("None", 1),
        ("NumBars", 1),
        ("Genre", 1),
        ("Track", 2),
        ("TrackEnd", 1),
        ("Instrument", 2),
        ("NoteDensity", 2),
        ("KeySignature", 2),
        ("Bar", 1),
        ("BarEnd", 1),
        ("BarLevelOnsetDensity", 2),
        ("BarLevelOnsetPolyphonyMax", 2),
        ("Tension", 2),
        ("TimeSig", 4),
        ("MaskBar", 1),
        ("TimeAbsolutePos", 12),
        ("VelocityLevel", 2),
        ("DeltaDirection", 1),
        ("Delta", 2),
        ("NoteOnset", 3),
        ("NoteDuration", 2),
        ("FillInPlaceholder", 1),
        ("FillInStart", 1),
        ("FillInEnd", 1),
    ]
)
KINDS = {"NoteDensity": "drum", "BarLevelOnsetPolyphonyMax": "melodic", "Tension": "both"}
TABLE = GrammarTable(CONFIG, VOCABULARY, KINDS)

NOTE = {"VelocityLevel", "DeltaDirection", "Delta", "NoteOnset"}
CONTENT = NOTE | {"TimeAbsolutePos"}
TRACK_LEVELS = {"NoteDensity", "KeySignature", "BarLevelOnsetPolyphonyMax"}
BAR_LEVELS = {"BarLevelOnsetDensity", "BarLevelOnsetPolyphonyMax", "Tension"}
MELODIC, DRUMS = "PieceStart NumBars Track Instrument", "PieceStart NumBars Track:1 Instrument"
A_BAR = "Bar TimeSig NoteOnset NoteDuration BarEnd"


def after(words, **options):
    """The state after a stream."""
    state = TABLE.rules(**options).start()
    for token in hear(VOCABULARY, words):
        state.advance(token)
    return state


def allowed(state):
    """The types that may follow; all their values may, but for positions."""
    mask = np.empty(len(VOCABULARY), dtype=np.bool_)
    state.mask(mask)
    types = set()
    for type_, first, size in VOCABULARY.domains:
        values = mask[first : first + size]
        assert values.all() or not values.any() or type_ == "TimeAbsolutePos"
        if values.any():
            types.add(type_)
    return types


def positions(state):
    """The positions that may follow."""
    mask = np.empty(len(VOCABULARY), dtype=np.bool_)
    state.mask(mask)
    return np.flatnonzero(mask[VOCABULARY.span("TimeAbsolutePos")]).tolist()


@pytest.mark.parametrize(
    ("words", "following"),
    [
        ("", {"NumBars", "Track"}),
        ("PieceStart", {"NumBars", "Track"}),
        ("PieceStart NumBars", {"Track"}),
        ("Track", {"Instrument", "Bar", "TrackEnd"}),
        (MELODIC, TRACK_LEVELS | {"Bar", "TrackEnd"}),
        (f"{MELODIC} KeySignature", TRACK_LEVELS | {"Bar", "TrackEnd"}),
        (f"{MELODIC} BarLevelOnsetPolyphonyMax", TRACK_LEVELS | {"Bar", "TrackEnd"}),
        ("Track Bar", BAR_LEVELS | CONTENT | {"TimeSig", "MaskBar", "FillInPlaceholder"}),
        ("Track Bar Tension", BAR_LEVELS | CONTENT | {"TimeSig", "MaskBar"}),
        ("Track Bar BarLevelOnsetPolyphonyMax", BAR_LEVELS | CONTENT | {"TimeSig", "MaskBar"}),
        ("Track Bar TimeSig", CONTENT | {"Tension", "MaskBar", "FillInPlaceholder"}),
        ("Track Bar MaskBar", {"BarEnd"}),
        ("Track Bar FillInPlaceholder", {"BarEnd"}),
        ("Track Bar TimeAbsolutePos:1", NOTE),
        ("Track Bar NoteOnset NoteDuration TimeAbsolutePos:1", NOTE | {"BarEnd"}),
        ("Track Bar VelocityLevel", {"NoteOnset", "Delta", "DeltaDirection"}),
        ("Track Bar DeltaDirection", {"Delta"}),
        ("Track Bar Delta", {"NoteOnset"}),
        ("Track Bar NoteOnset", {"NoteDuration"}),
        ("Track:1 Bar NoteOnset", CONTENT | {"BarEnd"}),
        ("Track Bar NoteOnset NoteDuration", CONTENT | {"BarEnd"}),
        (f"Track {A_BAR}", {"FillInStart", "Bar", "TrackEnd", "None"}),
        (f"Track {A_BAR} TrackEnd", {"Track", "None"}),
        ("FillInStart", CONTENT),
        ("FillInStart NoteOnset NoteDuration", CONTENT | {"FillInEnd"}),
        ("FillInStart NoteOnset NoteDuration FillInEnd", {"BarEnd", "FillInStart", "None"}),
        ("PieceStart Genre", set(VOCABULARY.types)),
        ("PieceStart Genre NumBars", {"Track"}),
        ("None", set(VOCABULARY.types)),
    ],
)
def test_what_may_follow(words, following):
    assert allowed(after(words)) == following


@pytest.mark.parametrize("opening", ["Bar", "Bar Tension", "Bar TimeSig", "Bar TimeAbsolutePos:1"])
def test_empty_bars_are_allowed_on_request(opening):
    assert "BarEnd" not in allowed(after(f"Track {opening}"))
    assert "BarEnd" in allowed(after(f"Track {opening}", require_notes=False))


@pytest.mark.parametrize(
    ("words", "following"),
    [
        ("Track", {"Instrument", "Bar"}),
        (MELODIC, TRACK_LEVELS | {"Bar"}),
        (f"Track {A_BAR}", {"FillInStart", "Bar"}),
        (f"Track {A_BAR} {A_BAR}", {"FillInStart", "TrackEnd", "None"}),
        (f"Track {A_BAR} {A_BAR} TrackEnd Track {A_BAR}", {"FillInStart", "Bar"}),
    ],
)
def test_an_exact_number_of_bars(words, following):
    assert allowed(after(words, exact_bars=2)) == following


def test_a_track_of_no_bars_can_only_end():
    assert allowed(after("PieceStart NumBars Track", exact_bars=0)) == {"Instrument", "TrackEnd"}


def test_the_number_of_tracks_is_limited():
    one = f"Track {A_BAR} TrackEnd"
    assert allowed(after(one, max_tracks=2)) == {"Track", "None"}
    assert allowed(after(f"{one} {one}", max_tracks=2)) == {"None"}
    assert allowed(after(one, max_tracks=0)) == {"None"}


def test_a_continuation_has_no_fills():
    state = after("Track Bar TimeSig", autoregressive=True)
    assert allowed(state) == CONTENT | {"Tension", "MaskBar"}
    assert allowed(after(f"Track {A_BAR}", autoregressive=True)) == {"Bar", "TrackEnd", "None"}


def test_tracks_may_be_kept_from_starting_or_ending():
    assert allowed(after("PieceStart", mask_track_start=True)) == {"NumBars"}
    ended = f"Track {A_BAR}"
    assert allowed(after(ended, mask_track_end=True)) == {"FillInStart", "Bar", "None"}


@pytest.mark.parametrize(
    ("words", "window"),
    [
        ("Track Bar", range(8)),
        ("Track Bar TimeSig", range(8)),
        ("Track Bar TimeSig:1", range(6)),
        ("Track Bar TimeSig:2", range(3)),  # 5/16 is two and a half positions long
        ("Track Bar TimeSig:3", range(8)),  # the config has no such meter
        ("Track Bar TimeSig:1 TimeAbsolutePos:2 NoteOnset NoteDuration", range(3, 6)),
        ("Track Bar TimeSig:1 TimeAbsolutePos:5 NoteOnset NoteDuration", []),
        ("Track Bar TimeSig:1 TimeAbsolutePos:7 NoteOnset NoteDuration", []),
        (f"Track Bar TimeSig:1 TimeAbsolutePos:2 NoteOnset NoteDuration BarEnd {A_BAR}", []),
        ("Track Bar TimeSig:1 TimeAbsolutePos:2 BarEnd Bar", range(8)),
        ("Track Bar TimeSig:1 MaskBar BarEnd TrackEnd FillInStart", range(6)),
        ("FillInStart TimeAbsolutePos:2 NoteOnset NoteDuration", range(3, 8)),
        ("FillInStart TimeAbsolutePos:2 NoteOnset NoteDuration FillInEnd FillInStart", range(8)),
        ("Track Bar TimeSig:1 Tension", range(12)),
        ("PieceStart Genre", range(12)),
    ],
)
def test_positions_ascend_within_the_bar(words, window):
    assert positions(after(words)) == list(window)


def test_a_meter_longer_than_there_are_positions():
    config = EncoderConfig.parse({"resolution": 2, "time_signatures": ["9/4"]})
    state = GrammarTable(config, VOCABULARY).rules().start()
    for token in hear(VOCABULARY, "Track Bar TimeSig"):
        state.advance(token)
    assert positions(state) == list(range(12))


def test_a_fill_takes_after_the_last_track_until_it_is_told_its_bar():
    state = after(f"{MELODIC} Bar TimeSig:1 FillInPlaceholder BarEnd TrackEnd FillInStart")
    assert (state.drum, state.low, state.high) == (False, 0, 6)

    state.begin_fill(drum=True, limit=3)
    state.advance(VOCABULARY.encode("NoteOnset", 0))

    assert state.drum
    assert allowed(state) == CONTENT | {"FillInEnd"}
    assert positions(state) == [0, 1, 2]


def test_a_fill_of_melody_after_a_track_of_drums():
    state = after(f"{DRUMS} Bar FillInPlaceholder BarEnd TrackEnd FillInStart")
    state.begin_fill(drum=False, limit=None)
    assert positions(state) == list(range(8))

    state.advance(VOCABULARY.encode("NoteOnset", 0))

    assert allowed(state) == {"NoteDuration"}


def test_a_fill_longer_than_there_are_positions():
    state = after("FillInStart")
    state.begin_fill(drum=False, limit=99)
    assert positions(state) == list(range(12))


def test_a_state_tells_where_it_is():
    state = after(f"Track TrackEnd Track:1 {A_BAR} Bar")
    assert (state.tracks, state.bars) == (2, 2)
    assert (state.in_bar, state.in_fill, state.drum) == (True, False, True)

    state = after(f"Track {A_BAR} TrackEnd FillInStart")
    assert (state.in_bar, state.in_fill, state.drum) == (False, True, False)


def test_copies_go_separate_ways():
    state = after("Track Bar TimeSig")
    twin = state.copy()

    state.advance(VOCABULARY.encode("TimeAbsolutePos", 4))
    state.advance(VOCABULARY.encode("NoteOnset", 0))

    assert allowed(state) == {"NoteDuration"}
    assert positions(twin) == list(range(8))


def test_rules_under_equal_options_share_their_rows():
    rows = TABLE.rules(exact_bars=4).rows
    assert TABLE.rules(exact_bars=8).rows is rows
    with pytest.raises(ValueError, match="read-only"):
        rows[0] = True


def test_strict_rules_go_from_fill_to_fill():
    words = "FillInStart NoteOnset NoteDuration FillInEnd"
    assert allowed(after(words, strict=True)) == {"FillInStart"}


@pytest.mark.parametrize(
    ("words", "following"),
    [
        (MELODIC, {"KeySignature", "BarLevelOnsetPolyphonyMax"}),
        (f"{MELODIC} KeySignature", {"BarLevelOnsetPolyphonyMax"}),
        (f"{MELODIC} KeySignature BarLevelOnsetPolyphonyMax", set()),
        (f"{MELODIC} KeySignature TrackEnd Track:1 Instrument", {"NoteDensity", "KeySignature"}),
        (f"{DRUMS} NoteDensity", {"KeySignature"}),
    ],
)
def test_strict_rules_give_a_track_each_of_its_attributes_once(words, following):
    assert allowed(after(words, strict=True)) == following | {"Bar", "TrackEnd"}


@pytest.mark.parametrize(
    ("words", "following"),
    [
        (f"{MELODIC} KeySignature Bar", BAR_LEVELS),
        (f"{MELODIC} Bar Tension", {"BarLevelOnsetDensity", "BarLevelOnsetPolyphonyMax"}),
        (f"{MELODIC} Bar Tension TimeSig", set()),
        (f"{MELODIC} Bar BarLevelOnsetDensity TimeSig", {"Tension"}),
        (f"{MELODIC} BarLevelOnsetPolyphonyMax Bar", BAR_LEVELS),
        (f"{MELODIC} Bar Tension {A_BAR} Bar", BAR_LEVELS),
        (f"{DRUMS} Bar", {"Tension", "BarLevelOnsetDensity"}),
        (f"{DRUMS} Bar Tension BarLevelOnsetDensity", set()),
    ],
)
def test_strict_rules_give_a_bar_each_of_its_attributes_once(words, following):
    assert allowed(after(words, strict=True)) & BAR_LEVELS == following


def test_strict_rules_keep_to_the_bar_after_its_attributes():
    assert positions(after("Track Bar TimeSig:1 Tension", strict=True)) == list(range(6))


def test_attributes_of_unknown_kind_fit_all_tracks():
    state = GrammarTable(CONFIG, VOCABULARY).rules(strict=True).start()
    for token in hear(VOCABULARY, MELODIC):
        state.advance(token)
    assert allowed(state) == TRACK_LEVELS | {"Bar", "TrackEnd"}


def play(state, choices, ends, most=200):
    """Follow a stream of choices among what is allowed, up to and with one of ``ends``."""
    mask = np.empty(len(VOCABULARY), dtype=np.bool_)
    for _ in range(most):
        state.mask(mask)
        token = int(choices.draw(st.sampled_from(np.flatnonzero(mask).tolist())))
        state.advance(token)
        if VOCABULARY.types[token] in ends:
            return
        yield state, token


@given(st.data(), st.sampled_from([MELODIC, DRUMS]))
def test_a_strict_continuation_is_never_stuck_and_never_repeats_an_attribute(data, header):
    state = after(header, strict=True, autoregressive=True, exact_bars=2, max_tracks=1)
    given_ = []
    for _, token in play(state, data, {"TrackEnd", "None"}):
        type_ = VOCABULARY.types[token]
        if type_ == "Bar":
            given_ = []
        elif type_ in TRACK_LEVELS | BAR_LEVELS:
            assert type_ not in given_
            given_.append(type_)


@given(st.data(), st.booleans())
def test_a_strict_fill_is_never_stuck(data, drum):
    state = after(f"{MELODIC} {A_BAR} TrackEnd FillInStart", strict=True, max_tracks=1)
    state.begin_fill(drum=drum, limit=3)
    for _ in play(state, data, {"FillInEnd"}):
        assert state.in_fill


@given(st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=30), st.booleans())
def test_a_row_and_a_window_say_the_same_as_the_mask(tokens, strict):
    rules = TABLE.rules(strict=strict, exact_bars=1, max_tracks=1)
    state = rules.start()
    for token in tokens:
        state.advance(token)
    mask = np.empty(len(VOCABULARY), dtype=np.bool_)
    state.mask(mask)

    expected = rules.rows[state.row].copy()
    if state.windowed:
        grid = np.arange(rules.positions.stop - rules.positions.start)
        expected[rules.positions] &= (grid >= state.low) & (grid < state.high)

    assert (mask == expected).all()


class Follower:
    """Follows the grammar by its chart alone."""

    def __init__(self, state):
        self.chart, self.state, self.low, self.high = (
            state.chart,
            state.state,
            state.low,
            state.high,
        )

    def advance(self, token):
        self.state = self.chart.moves[self.state, token]
        _, low, high = self.chart.windows[:, token]
        self.low = low if low >= 0 else self.low
        self.high = high if high >= 0 else self.high

    def mask(self, out):
        at = self.chart.windows[0]
        outside = (at >= 0) & ((at < self.low) | (at >= self.high))
        out[:] = self.chart.allowed[self.state] & ~(outside & self.chart.windowed[self.state])


COUNTED = {"Bar", "Track", "FillInStart"}


@pytest.mark.parametrize("strict", [True, False])
@given(st.data())
def test_a_chart_says_the_same_until_something_is_counted(strict, data):
    """From any place of any stream, up to a bar, a track, a fill, or an attribute if strict."""
    state = TABLE.rules(strict=strict, exact_bars=2, max_tracks=3).start()
    follower = None
    mask, charted = (np.empty(len(VOCABULARY), dtype=np.bool_) for _ in range(2))
    for turn in range(data.draw(st.integers(1, 60))):
        state.mask(mask)
        if follower is None or turn % 9 == 0:
            follower = Follower(state)
        follower.mask(charted)
        assert np.array_equal(mask, charted)
        legal = np.flatnonzero(mask)
        if not len(legal):
            break
        token = data.draw(st.sampled_from(legal.tolist()))
        state.advance(token)
        follower.advance(token)
        type_ = VOCABULARY.types[token]
        if type_ in COUNTED or (strict and type_ in TRACK_LEVELS | BAR_LEVELS):
            follower = None


def test_charts_are_kept_as_long_as_they_are_likely_to_be_asked_for():
    state = TABLE.rules(strict=True).start()
    assert state.chart is TABLE.rules(strict=True).start().chart
    assert state.chart.moves is TABLE.rules().start().chart.moves
