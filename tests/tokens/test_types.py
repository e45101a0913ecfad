import pytest

from midigpt.errors import EncoderConfigError
from midigpt.tokens.types import ALIASES, BAR_LEVELS, TRACK_LEVELS, TYPES, bar_key, canonical


@pytest.mark.parametrize(
    ("spelling", "type_"),
    [
        ("NoteOnset", "NoteOnset"),
        ("PitchRange", "TrackLevelPitchRangeMax"),
        ("PieceEnd", "None"),
        ("TOKEN_BAR_END", "BarEnd"),
        ("TOKEN_PITCH", "NotePitch"),
        ("TOKEN_DENSITY_LEVEL", "NoteDensity"),
        ("TOKEN_TIME_SIGNATURE", "TimeSig"),
        ("TOKEN_BAR_LEVEL_TENSION_DRUM", "TensionDrum"),
        ("TOKEN_TRACK_LEVEL_PITCH_RANGE_MAX", "TrackLevelPitchRangeMax"),
    ],
)
def test_a_type_has_several_spellings(spelling, type_):
    assert canonical(spelling) == type_


@pytest.mark.parametrize(
    "name", ["Nope", "noteonset", "TOKEN_NOTE_PITCH", "TOKEN_USE_VELOCITY", "TOKEN_PITCH_RANGE", ""]
)
def test_other_spellings_are_refused(name):
    with pytest.raises(EncoderConfigError, match=f"unknown token type '{name}'"):
        canonical(name)


def test_tables_speak_of_canonical_types():
    assert len(set(TYPES)) == len(TYPES)
    assert set(ALIASES.values()) <= set(TYPES)
    assert {*TRACK_LEVELS.values(), *BAR_LEVELS.values()} <= set(TYPES)


def test_a_bars_level_is_kept_under_its_name_and_place():
    assert bar_key("Tension", 3) == "bar_Tension_3"
