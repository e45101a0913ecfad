import pytest
from hypothesis import given
from hypothesis import strategies as st

from midigpt import Bar, Note, Score, Track
from midigpt.errors import EncodingError
from tests.tokens.words import hear, tokenizer

DELTAS = {"emit_delta_tokens": True, "velocity_levels": 128}
ATTRIBUTES = {
    "attribute_controls": [],
    "token_domains": [
        *tokenizer().config.to_dict()["token_domains"],
        *(
            {"type": type_, "domain_size": 10}
            for type_ in ("NoteDensity", "OnsetPolyphony", "Tension", "PitchClassSet", "PitchRange")
        ),
        {"type": "TrackLevelOnsetDensity", "domain_size": 10},
        {"type": "NotePitch", "domain_size": 128},
    ],
}


def read(words, **config):
    """The score told by words, on the token grid."""
    chosen = tokenizer(**config)
    return chosen.decode(hear(chosen.vocabulary, words), resample=False)


def notes(words, track="Track", **config):
    """The notes of the first bar of a track."""
    return read(f"{track} Bar TimeSig {words} BarEnd TrackEnd", **config).tracks[0].bars[0].notes


def test_a_piece():
    assert read(
        "PieceStart Track Instrument:1 "
        "Bar TimeSig VelocityLevel:20 NoteOnset:60 NoteDuration:11 "
        "TimeAbsolutePos:12 NoteOnset:67 NoteDuration:5 BarEnd Bar TimeSig:1 BarEnd TrackEnd "
        "Track:1 Instrument Bar TimeSig VelocityLevel:25 NoteOnset:36 BarEnd TrackEnd"
    ) == Score(
        [
            Track([Bar([Note(60, 80, 0, 12), Note(67, 80, 12, 6)]), Bar([], 3, 4)], 1),
            Track([Bar([Note(36, 101, 0, 1)])], 0, "drum"),
        ],
        resolution=12,
    )


def test_no_tokens_are_an_empty_score():
    assert read("") == Score([], 12)


def test_a_group_sounds_as_its_representative():
    config = {"instrument_merge_groups": [[5, 0, 1]]}
    assert read("Track Instrument:3 TrackEnd", **config).tracks[0].instrument == 5
    domains = [{"type": "Track", "domain_size": 2}, {"type": "Instrument", "domain_size": 200}]
    assert read("Track Instrument:199", token_domains=domains).tracks[0].instrument == 0


def test_a_note_without_a_velocity_has_one():
    assert notes("NoteOnset:60 NoteDuration") == [Note(60, 100, 0, 1)]
    assert notes("VelocityLevel NoteOnset:60 NoteDuration") == [Note(60, 100, 0, 1)]


def test_a_velocity_lasts_until_the_next_track():
    score = read(
        "Track Bar VelocityLevel:20 BarEnd Bar NoteOnset:60 NoteDuration BarEnd TrackEnd "
        "Track Bar NoteOnset:60 NoteDuration BarEnd TrackEnd"
    )
    assert score.tracks[0].bars[1].notes[0].velocity == 80
    assert score.tracks[1].bars[0].notes[0].velocity == 100


def test_a_duration_belongs_to_the_pitch_just_before():
    assert notes("NoteOnset:60 VelocityLevel:20 NoteDuration") == []
    assert notes("NoteDuration NoteDuration") == []
    assert notes("NoteOnset:60 NoteDuration NoteDuration") == [Note(60, 100, 0, 1)]


def test_a_drum_note_needs_no_duration_and_a_duration_repeats_it():
    assert notes("NoteOnset:36", "Track:1") == [Note(36, 100, 0, 1)]
    assert notes("NoteOnset:36 NoteDuration:2", "Track:1") == [
        Note(36, 100, 0, 1),
        Note(36, 100, 0, 3),
    ]


def test_microtiming_moves_one_note():
    words = "Delta:2 Delta:3 NoteOnset:60 NoteDuration NoteOnset:62 NoteDuration"
    assert [note.delta for note in notes(words, **DELTAS)] == [5, 0]
    back = "DeltaDirection:1 Delta:4 NoteOnset:60 NoteDuration Delta:1 NoteOnset:62 NoteDuration"
    assert [note.delta for note in notes(back, **DELTAS)] == [-4, 1]
    assert [note.delta for note in notes("Delta:2 NoteOnset:36", "Track:1", **DELTAS)] == [2]


def test_a_position_forgets_microtiming():
    words = "DeltaDirection Delta:2 TimeAbsolutePos:3 Delta:1 NoteOnset:60 NoteDuration"
    assert notes(words, **DELTAS) == [Note(60, 100, 3, 1, 1)]


def test_a_bar_without_an_end_has_no_length():
    assert read("Track Bar TimeSig:1").tracks[0].bars == [Bar([], 3, 4, beat_length=0.0)]


def test_an_unknown_meter_is_common_time():
    domains = [{"type": type_, "domain_size": 9} for type_ in ("Track", "Bar", "TimeSig", "BarEnd")]
    score = read("Track Bar TimeSig:5 BarEnd", token_domains=domains)
    assert score.tracks[0].bars == [Bar()]


def test_notes_outside_bars_are_ignored():
    note = "NoteOnset:60 NoteDuration"
    assert read(f"Bar {note} Track {note} Bar BarEnd TimeAbsolutePos:3 {note} TrackEnd {note}") == (
        Score([Track([Bar()], attributes={"note_duration_dist": 0})], 12)
    )


def test_tokens_without_a_track_are_ignored():
    assert read("TrackEnd Instrument:3 Bar TimeSig BarEnd NoteDuration TrackEnd") == Score([], 12)
    once = read("Track Bar BarEnd TrackEnd TrackEnd Track:1")
    assert [track.track_type for track in once.tracks] == ["melodic", "drum"]


def test_a_track_that_was_not_closed_goes_on():
    score = read("Track Bar BarEnd Track:1 Instrument:7 Bar BarEnd")
    assert score.tracks == [Track([Bar(), Bar()], 7, "drum")]


def test_levels_are_kept():
    words = (
        "Track NoteDensity:3 NoteDensity:4 OnsetPolyphony:5 Tension:1 TrackLevelOnsetDensity:6 "
        "NoteDuration:7 Bar Tension:2 BarEnd Bar PitchClassSet:3 OnsetPolyphony:8 PitchRange:9"
    )
    assert read(words, **ATTRIBUTES).tracks[0].attributes == {
        "note_density": 4,
        "onset_polyphony": 5,
        "track_onset_density": 6,
        "note_duration_dist": 7,
        "bar_Tension_0": 2,
        "bar_PitchClassSet_1": 3,
        "bar_BarLevelOnsetPolyphonyMax_1": 8,
        "pitch_range": 9,
    }
    assert read("NoteDensity:3 OnsetPolyphony:2 Bar Tension:1", **ATTRIBUTES) == Score([], 12)


def test_another_name_of_a_pitch():
    assert notes("NotePitch:60 NoteDuration:1", **ATTRIBUTES) == [Note(60, 100, 0, 2)]


def test_pitches_count_from_the_lowest():
    assert notes("NoteOnset:3 NoteDuration", pitch_range=[21, 108]) == [Note(24, 100, 0, 1)]


HOLES = "Track Bar FillInPlaceholder BarEnd Bar FillInPlaceholder BarEnd TrackEnd"
BLOCK = "FillInStart NoteOnset:{} NoteDuration FillInEnd"


@pytest.mark.parametrize(
    ("fills", "pitches"),
    [
        (BLOCK.format(60), [[60], []]),
        (f"{BLOCK.format(60)} Bar {BLOCK.format(62)} NoteOnset:1 NoteDuration", [[60], [62]]),
        (f"{BLOCK.format(60)} {BLOCK.format(62)} {BLOCK.format(64)}", [[60], [62]]),
        ("FillInStart FillInEnd FillInStart NoteOnset:62 NoteDuration", [[], [62]]),
        ("", [[], []]),
    ],
)
def test_fill_blocks_go_where_they_belong(fills, pitches):
    score = read(f"{HOLES} {fills}")
    read_pitches = [[note.pitch for note in bar.notes] for bar in score.tracks[0].bars]
    assert read_pitches == pitches


def test_a_fill_block_starts_at_the_start_of_its_bar():
    score = read(
        "Track Bar TimeAbsolutePos:9 BarEnd Bar FillInPlaceholder BarEnd TrackEnd "
        "FillInStart NoteOnset:60 NoteDuration FillInEnd"
    )
    assert score.tracks[0].bars[1].notes == [Note(60, 100, 0, 1)]


def test_the_score_is_at_the_decoding_resolution():
    chosen = tokenizer()
    words = "Track Bar TimeSig TimeAbsolutePos:6 NoteOnset:60 NoteDuration:11 BarEnd TrackEnd"
    tokens = hear(chosen.vocabulary, words)
    expected = Score([Track([Bar([Note(60, 100, 240, 480)])])], 480)
    assert chosen.decode(tokens) == expected
    assert chosen.decode(tuple(tokens), resample=False).resolution == 12


@pytest.mark.parametrize("token", [-1, 10_000])
def test_a_token_outside_the_vocabulary(token):
    with pytest.raises(EncodingError, match=f"token {token} is outside the vocabulary"):
        tokenizer().decode([0, token, 0])


TOKENIZERS = [tokenizer(), tokenizer(**DELTAS, supports_infill=False), tokenizer(**ATTRIBUTES)]


@given(chosen=st.sampled_from(TOKENIZERS), data=st.data())
def test_any_tokens_tell_some_score(chosen, data):
    size = len(chosen.vocabulary)
    tokens = data.draw(st.lists(st.integers(0, size - 1), max_size=60))
    score = chosen.decode(tokens)
    assert score.resolution == 480
    for track in score.tracks:
        for bar in track.bars:
            assert all(note.duration_ticks >= 1 for note in bar.notes)


@given(st.lists(st.integers(-5, 1000)))
def test_any_numbers_tell_a_score_or_are_refused(tokens):
    chosen = TOKENIZERS[0]
    if all(0 <= token < len(chosen.vocabulary) for token in tokens):
        assert chosen.decode(tokens).resolution == 480
    else:
        with pytest.raises(EncodingError):
            chosen.decode(tokens)
