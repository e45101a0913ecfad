"""The names of token types: how they are spelled, and the other spellings that configs use."""

from __future__ import annotations

import re

from midigpt.errors import EncoderConfigError

TYPES = (
    # structure
    *("PieceStart", "None", "Track", "TrackEnd", "Bar", "BarEnd", "NumBars", "TimeSig"),
    *("Instrument", "Genre", "UseVelocity", "UseMicrotiming", "MaskBar"),
    *("FillInPlaceholder", "FillInStart", "FillInEnd"),
    # notes
    *("TimeAbsolutePos", "VelocityLevel", "DeltaDirection", "Delta"),
    *("NoteOnset", "NotePitch", "NoteDuration"),
    # track levels
    *("MinPolyphony", "MaxPolyphony", "MinNoteDuration", "MaxNoteDuration", "NoteDensity"),
    *("TrackLevelPitchRangeMax", "KeySignature", "TrackLevelSilenceProportionMax"),
    "TrackLevelNomml",
    # bar levels
    *("Tension", "TensionDrum", "BarLevelPitchClassSet", "BarLevelOnsetDensity"),
    *("BarLevelOnsetPolyphonyMin", "BarLevelOnsetPolyphonyMax"),
    # known by name, written by no encoder
    *("NoteOffset", "NonPitch", "Velocity", "TimeDelta", "DrumTrack", "FillIn", "Header"),
    *("Segment", "SegmentEnd", "SegmentFillIn", "AvPolyphony", "RestPercentage", "PitchClass"),
    *("MinPolyphonyHard", "MaxPolyphonyHard", "MinNoteDurationHard", "MaxNoteDurationHard"),
    *("PitchClassCount", "TrackLevelOnsetDensity", "TrackLevelOnsetDensityMin"),
    *("TrackLevelOnsetDensityMax", "TrackLevelOnsetPolyphonyMin", "TrackLevelOnsetPolyphonyMax"),
    *("TrackLevelPitchRangeMin", "TrackLevelSilenceProportionMin", "ValenceSpotify"),
    *("EnergySpotify", "DanceabilitySpotify", "Danceability", "WnbdSyncopation", "Repetition"),
    *("ContainsNoteDurationThirtySecond", "ContainsNoteDurationSixteenth"),
    *("ContainsNoteDurationEighth", "ContainsNoteDurationQuarter", "ContainsNoteDurationHalf"),
    "ContainsNoteDurationWhole",
)
"""Every token type, in its canonical spelling."""

ALIASES = {
    "PitchRange": "TrackLevelPitchRangeMax",
    "SilenceProportion": "TrackLevelSilenceProportionMax",
    "PitchClassSet": "BarLevelPitchClassSet",
    "OnsetPolyphony": "BarLevelOnsetPolyphonyMax",
    "NoteDurationDist": "NoteDuration",
    "PieceEnd": "None",
}
"""Other names of the same types."""

TRACK_LEVELS = {
    "min_polyphony": "MinPolyphony",
    "max_polyphony": "MaxPolyphony",
    "min_note_duration": "MinNoteDuration",
    "max_note_duration": "MaxNoteDuration",
    "note_density": "NoteDensity",
    "onset_polyphony": "BarLevelOnsetPolyphonyMax",
    "pitch_range": "TrackLevelPitchRangeMax",
    "key_signature": "KeySignature",
    "silence_proportion": "TrackLevelSilenceProportionMax",
    "nomml": "TrackLevelNomml",
}
"""Track attribute to the type of its token, in the order of the tokens."""

BAR_LEVELS = {
    "Tension": "Tension",
    "TensionDrum": "TensionDrum",
    "PitchClassSet": "BarLevelPitchClassSet",
    "BarLevelOnsetDensity": "BarLevelOnsetDensity",
    "BarLevelOnsetPolyphonyMin": "BarLevelOnsetPolyphonyMin",
    "BarLevelOnsetPolyphonyMax": "BarLevelOnsetPolyphonyMax",
}
"""Name in a bar attribute's key, ``bar_<name>_<bar>``, to the type of its token, in their order."""

SILENT_LEVELS = frozenset({"BarLevelPitchClassSet"})
"""Bar levels that are computed but never written: no published model has seen them in a prompt.

A level stored by the caller as ``bar_PitchClassSet_<bar>`` is written.
"""

_LEGACY_IRREGULAR = {
    "NotePitch": "TOKEN_PITCH",
    "NoteDensity": "TOKEN_DENSITY_LEVEL",
    "TimeSig": "TOKEN_TIME_SIGNATURE",
    "Tension": "TOKEN_BAR_LEVEL_TENSION",
    "TensionDrum": "TOKEN_BAR_LEVEL_TENSION_DRUM",
}
_WITHOUT_LEGACY = {"UseVelocity", "UseMicrotiming", "TrackLevelNomml"}


def _legacy(type_: str) -> str:
    """The old spelling: ``NoteOnset`` was ``TOKEN_NOTE_ONSET``."""
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", type_).upper()
    return _LEGACY_IRREGULAR.get(type_, f"TOKEN_{snake}")


_SPELLINGS = (
    {type_: type_ for type_ in TYPES}
    | ALIASES
    | {_legacy(type_): type_ for type_ in TYPES if type_ not in _WITHOUT_LEGACY}
)


def canonical(name: str) -> str:
    """The canonical spelling of a token type.

    Args:
        name: the type in any spelling: ``"PitchRange"``, ``"TOKEN_BAR"``, ``"NoteOnset"``.

    Raises:
        EncoderConfigError: no token type has that name.
    """
    if name not in _SPELLINGS:
        raise EncoderConfigError(f"unknown token type {name!r}: no token type has that name")
    return _SPELLINGS[name]


def bar_key(name: str, bar: int) -> str:
    """The key among a track's attributes of a bar's level; ``name`` as in :data:`BAR_LEVELS`."""
    return f"bar_{name}_{bar}"
