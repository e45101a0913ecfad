import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.errors import EncodingError
from midigpt.tokens import EncodeOptions
from tests.tokens.words import say, tokenizer

DELTAS = {"emit_delta_tokens": True, "velocity_levels": 128}
NOTE = Note(60, 80, 0, 3)


def told(score, config=None, **options):
    """What a score is in words."""
    chosen = tokenizer(**config or {})
    return say(chosen.vocabulary, chosen.encode(score, EncodeOptions(**options)).tokens)


def bars(*chosen, **track):
    """A score of one track."""
    return Score([Track(list(chosen), **track)], 12)


def bar_told(*notes, config=None, track_type="melodic", **options):
    """What the notes of a bar are in words."""
    words = told(bars(Bar(list(notes)), track_type=track_type), config, **options)
    return words.partition("TimeSig ")[2].partition("BarEnd")[0].strip()


def test_a_piece():
    melody = Track([Bar([Note(60, 80, 0, 12), Note(67, 90, 12, 6)]), Bar([], 3, 4)], 1)
    drums = Track([Bar([Note(36, 100, 0, 1)])], 0, "drum")
    assert told(Score([melody, drums], 12)) == (
        "PieceStart "
        "Track Instrument:1 "
        "Bar TimeSig VelocityLevel:20 NoteOnset:60 NoteDuration:11 "
        "TimeAbsolutePos:12 VelocityLevel:22 NoteOnset:67 NoteDuration:5 BarEnd "
        "Bar TimeSig:1 BarEnd TrackEnd "
        "Track:1 Instrument Bar TimeSig VelocityLevel:25 NoteOnset:36 BarEnd TrackEnd"
    )


def test_nothing_at_all():
    assert told(Score([], 12)) == "PieceStart"
    assert told(Score([Track()], 12)) == "PieceStart Track Instrument TrackEnd"


def test_notes_are_sorted_by_onset_and_pitch():
    words = bar_told(Note(64, 80, 3, 1), Note(62, 80, 3, 2), Note(62, 80, 3, 1), NOTE)
    assert words == (
        "VelocityLevel:20 NoteOnset:60 NoteDuration:2 TimeAbsolutePos:3 "
        "NoteOnset:62 NoteDuration:1 NoteOnset:62 NoteDuration NoteOnset:64 NoteDuration"
    )


def test_values_outside_their_type_become_the_nearest():
    assert bar_told(Note(-1, 200, -3, 0), Note(128, -5, 500, 5000)) == (
        "VelocityLevel:31 NoteOnset NoteDuration "
        "TimeAbsolutePos:47 VelocityLevel:1 NoteOnset:127 NoteDuration:95"
    )


def test_a_program_out_of_range_is_the_first_group():
    config = {"instrument_merge_groups": [[0, 1, 2]]}
    assert "Instrument TrackEnd" in told(bars(instrument=200), config)
    assert "Instrument:125 TrackEnd" in told(bars(instrument=127), config)


def test_a_velocity_is_told_when_it_changes():
    notes = [Note(60, 80, 0, 1), Note(61, 81, 0, 1), Note(62, 90, 0, 1)]
    assert bar_told(*notes).count("VelocityLevel") == 2
    assert bar_told(*notes, config={"velocity_sticky": False}).count("VelocityLevel") == 3
    again = told(bars(Bar([NOTE]), Bar([NOTE])))
    assert again.count("VelocityLevel") == 2


def test_a_silent_note_has_the_softest_velocity():
    loud, silent = Note(60, 80, 0, 1), Note(62, 0, 0, 1)
    assert bar_told(loud, silent).endswith("VelocityLevel:1 NoteOnset:62 NoteDuration")


def test_velocities_can_be_left_out():
    assert bar_told(NOTE, use_velocity=0) == "NoteOnset:60 NoteDuration:2"
    assert "VelocityLevel" in bar_told(NOTE, use_velocity=1)


@pytest.mark.parametrize(
    ("delta", "words"),
    [(0, ""), (3, "Delta:3 "), (12, "Delta:5 "), (-2, "DeltaDirection Delta:2 ")],
)
def test_microtiming(delta, words):
    note = Note(60, 80, 0, 3, delta)
    assert bar_told(note, config=DELTAS) == f"VelocityLevel:80 {words}NoteOnset:60 NoteDuration:2"
    assert "Delta" not in bar_told(note, config=DELTAS, use_microtiming=0)
    assert "Delta" not in bar_told(note)


def test_switches_and_genre():
    config = {"switchable_velocity": True, "switchable_microtiming": True}
    genres = {"genre_groups": {"a": [], "b": []}}
    empty = Score([], 12)
    assert told(empty, config) == "PieceStart UseVelocity:1 UseMicrotiming:1"
    off = told(empty, config | genres, use_velocity=0, use_microtiming=0, genre=1)
    assert off == "PieceStart UseVelocity UseMicrotiming Genre:1"
    assert told(empty, genres, genre=40) == "PieceStart Genre:1"
    assert told(empty, genres) == "PieceStart"


def test_the_number_of_bars_is_that_of_the_longest_track():
    config = {"num_bars_map": [4, 2]}
    score = Score([Track([Bar()]), Track([Bar(), Bar()])], 12)
    assert told(score, config).startswith("PieceStart NumBars:1 Track")
    assert told(score, config, window_bars=4).startswith("PieceStart NumBars Track")
    assert told(Score([], 12), config) == "PieceStart NumBars"


def test_a_number_of_bars_without_a_token():
    with pytest.raises(EncodingError, match=r"3 bars: this encoder takes \[2, 4\] bars"):
        told(bars(Bar(), Bar(), Bar()), {"num_bars_map": [4, 2]})


def test_a_number_of_bars_can_be_its_own_value():
    domains = [{"type": "NumBars", "domain_size": 9}]
    assert told(bars(Bar(), Bar()), {"token_domains": domains}) == "NumBars:2"


def test_a_meter_without_a_token():
    with pytest.raises(EncodingError, match="time signature 5/8 is none of 4/4, 3/4"):
        told(bars(Bar([], 5, 8)))


def test_of_repeated_meters_the_last_is_told():
    config = {"time_signatures": ["4/4", "3/4", "4/4"]}
    assert "TimeSig:2" in told(bars(Bar()), config)


def test_without_a_list_of_meters_all_are_the_same():
    domains = [{"type": "TimeSig", "domain_size": 2}]
    assert told(bars(Bar([], 5, 8)), {"token_domains": domains, "time_signatures": []}) == "TimeSig"


def test_types_that_the_vocabulary_lacks_are_left_out():
    domains = [{"type": type_, "domain_size": 1} for type_ in ("Bar", "PieceEnd")]
    assert told(bars(Bar([NOTE])), {"token_domains": domains}) == "Bar None"


def test_levels_come_before_what_they_describe():
    sizes = {"NoteDensity": 10, "MinPolyphony": 10, "Tension": 10, "PitchClassSet": 13}
    domains = tokenizer().config.to_dict()["token_domains"]
    domains += [{"type": type_, "domain_size": size} for type_, size in sizes.items()]
    levels = {"note_density": 12, "min_polyphony": -1, "bar_PitchClassSet_0": 4, "bar_Tension_0": 2}
    silent = {"nomml": 3, "bar_BarLevelPitchClassSet_0": 5, "anything": 7}
    assert told(bars(Bar(), attributes=levels | silent), {"token_domains": domains}) == (
        "PieceStart Track Instrument MinPolyphony NoteDensity:9 "
        "Bar Tension:2 BarLevelPitchClassSet:4 TimeSig BarEnd TrackEnd"
    )


def test_a_partial_track_stays_open():
    score = Score([Track([Bar(), Bar()]), Track([Bar()])], 12)
    words = told(score, partial_encode_track_index=0, partial_encode_track_bars=1)
    assert words == (
        "PieceStart Track Instrument Bar TimeSig BarEnd "
        "Track Instrument Bar TimeSig BarEnd TrackEnd"
    )
    assert told(score, partial_encode_track_index=0) == told(score)
    whole = told(score, partial_encode_track_index=0, partial_encode_track_bars=9)
    assert whole.count("Bar TimeSig") == 3


def test_bars_to_be_filled_are_written_at_the_end():
    score = bars(Bar([NOTE]), Bar([NOTE], future=True))
    assert told(score, multi_fill=frozenset({(0, 1), (0, 0)})) == (
        "PieceStart:1 Track Instrument "
        "Bar TimeSig FillInPlaceholder BarEnd Bar TimeSig FillInPlaceholder BarEnd TrackEnd "
        "FillInStart VelocityLevel:20 NoteOnset:60 NoteDuration:2 FillInEnd "
        "FillInStart VelocityLevel:20 NoteOnset:60 NoteDuration:2 FillInEnd"
    )


@pytest.mark.parametrize(("track", "bar"), [(0, 1), (1, 0), (-1, 0), (0, -1)])
def test_there_must_be_a_bar_to_fill(track, bar):
    with pytest.raises(EncodingError, match=f"multi_fill: track {track} has no bar {bar}"):
        told(bars(Bar()), multi_fill=frozenset({(track, bar)}))


def test_not_every_encoder_can_fill():
    with pytest.raises(EncodingError, match="multi_fill: this encoder cannot fill in bars"):
        told(bars(Bar()), {"supports_infill": False}, multi_fill=frozenset({(0, 0)}))


HIDDEN = bars(Bar(), Bar([NOTE], future=True), attributes={"bar_Tension_1": 2})
TENSION = {"token_domains": [
    *tokenizer(supports_mask_bar_token=True).config.to_dict()["token_domains"],
    {"type": "Tension", "domain_size": 10},
]}  # fmt: skip


def test_a_hidden_bar_can_be_a_token():
    assert "Bar Tension:2 TimeSig MaskBar BarEnd" in told(HIDDEN, TENSION)


def test_a_hidden_bar_can_be_hidden_from_attention():
    chosen = tokenizer(**TENSION)
    encoded = chosen.encode(HIDDEN, EncodeOptions(use_span_masks=True))
    ((start, end),) = encoded.hidden_spans
    assert say(chosen.vocabulary, encoded.tokens[start:end]) == "Bar Tension:2 TimeSig BarEnd"


def test_a_hidden_bar_can_be_emptied():
    chosen = tokenizer(**TENSION)
    options = EncodeOptions(use_span_masks=True, remove_future_bars=True)
    encoded = chosen.encode(HIDDEN, options)
    assert "BarEnd Bar TimeSig BarEnd TrackEnd" in say(chosen.vocabulary, encoded.tokens)
    assert encoded.hidden_spans == []


def test_a_hidden_bar_is_never_written_openly():
    with pytest.raises(EncodingError, match="bar 1 of track 0 is hidden: use_span_masks or"):
        told(HIDDEN)


def test_pitches_count_from_the_lowest():
    low = bar_told(Note(21, 80, 0, 1), Note(20, 80, 0, 1), config={"pitch_range": [21, 108]})
    assert low == "VelocityLevel:20 NoteOnset NoteDuration NoteOnset NoteDuration"
    high = bar_told(Note(108, 80, 0, 1), config={"pitch_range": [21, 108]})
    assert "NoteOnset:87" in high
