"""The grammar as it is written down: which token types may follow, and what is remembered.

Only token types are spoken of here. :mod:`midigpt.tokens.grammar_table` lays them out over the ids
of a vocabulary.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from midigpt.tokens.types import BAR_LEVELS, TRACK_LEVELS

Types = frozenset[str]

POSITION = "TimeAbsolutePos"
ONSET_TYPES: Types = frozenset({"NoteOnset", "NotePitch"})
NOTE_TYPES: Types = ONSET_TYPES | {"VelocityLevel", "DeltaDirection", "Delta"}
"""Types that a note may begin with."""

FILL_TYPES: Types = frozenset({"FillInStart", "FillInEnd", "FillInPlaceholder"})
TRACK_ATTRIBUTES: Types = frozenset(TRACK_LEVELS.values())
BAR_ATTRIBUTES: Types = frozenset(BAR_LEVELS.values())

_NONE: Types = frozenset()


class Last(Enum):
    """What the last token was, as far as it matters for the next one."""

    PIECE_START = "PieceStart"
    NUM_BARS = "NumBars"
    TRACK = "Track"
    HEADER = "Instrument or an attribute of the track"
    BAR = "Bar"
    BAR_ATTRIBUTE = "an attribute of the bar"
    METER = "TimeSig"
    CLOSED = "MaskBar or FillInPlaceholder"
    POSITION = "TimeAbsolutePos"
    VELOCITY = "VelocityLevel"
    DIRECTION = "DeltaDirection"
    DELTA = "Delta"
    PITCH = "the onset of a melodic note"
    NOTE = "the end of a note: its duration, or the onset of a drum note"
    BAR_END = "BarEnd"
    TRACK_END = "TrackEnd"
    FILL_START = "FillInStart"
    FILL_END = "FillInEnd"
    OTHER = "anything else; only prompts hold such tokens, and never as their last"


class Memory(NamedTuple):
    """All that the grammar remembers, but for its counts of bars, tracks and positions.

    Attributes:
        last: the last token.
        in_bar: whether a bar is open.
        in_fill: whether a fill is open.
        drum: whether the track, or the bar being filled, is one of drums.
        has_note: whether the bar or fill has a note.
    """

    last: Last = Last.PIECE_START
    in_bar: bool = False
    in_fill: bool = False
    drum: bool = False
    has_note: bool = False

    def after(self, type_: str, *, drum: bool = False) -> Memory:
        """What is remembered after one more token.

        Args:
            type_: its type.
            drum: of a ``Track`` token, whether it opens a drum track.
        """
        last, in_bar, in_fill, is_drum, has_note = self
        if type_ in ONSET_TYPES:
            last, has_note = Last.NOTE if is_drum else Last.PITCH, True
        elif type_ in BAR_ATTRIBUTES & TRACK_ATTRIBUTES:
            last = Last.BAR_ATTRIBUTE if in_bar else Last.HEADER
        else:
            last = _LAST.get(type_, Last.OTHER)
        if type_ == "Track":
            is_drum = drum
        elif type_ in {"Bar", "BarEnd"}:
            in_bar = type_ == "Bar"
        elif type_ in {"FillInStart", "FillInEnd"}:
            in_fill = type_ == "FillInStart"
        if type_ in {"Bar", "FillInStart"}:
            has_note = False
        return Memory(last, in_bar, in_fill, is_drum, has_note)


_LAST = {
    "PieceStart": Last.PIECE_START,
    "NumBars": Last.NUM_BARS,
    "Track": Last.TRACK,
    "Instrument": Last.HEADER,
    **dict.fromkeys(TRACK_ATTRIBUTES, Last.HEADER),
    "Bar": Last.BAR,
    **dict.fromkeys(BAR_ATTRIBUTES, Last.BAR_ATTRIBUTE),
    "TimeSig": Last.METER,
    "MaskBar": Last.CLOSED,
    "FillInPlaceholder": Last.CLOSED,
    POSITION: Last.POSITION,
    "VelocityLevel": Last.VELOCITY,
    "DeltaDirection": Last.DIRECTION,
    "Delta": Last.DELTA,
    "NoteDuration": Last.NOTE,
    "BarEnd": Last.BAR_END,
    "TrackEnd": Last.TRACK_END,
    "FillInStart": Last.FILL_START,
    "FillInEnd": Last.FILL_END,
}


class Options(NamedTuple):
    """What a generation asks of the grammar; see :meth:`midigpt.tokens.grammar.GrammarTable.rules`.

    Attributes:
        require_notes: a bar or fill may not end without a note.
        exact_bars: whether the number of bars is fixed.
        autoregressive: no fills.
        mask_track_start: no ``Track``.
        mask_track_end: no ``TrackEnd``.
        strict: as a generation needs it, not as published.
    """

    require_notes: bool
    exact_bars: bool
    autoregressive: bool
    mask_track_start: bool
    mask_track_end: bool
    strict: bool

    @property
    def removed(self) -> Types:
        """Types that are never allowed."""
        return (
            (FILL_TYPES if self.autoregressive else _NONE)
            | (frozenset({"Track"}) if self.mask_track_start else _NONE)
            | (frozenset({"TrackEnd"}) if self.mask_track_end else _NONE)
        )


class Counts(NamedTuple):
    """What the counts of a stream say.

    Attributes:
        enough_bars: the track has its number of bars.
        enough_tracks: the piece has its number of tracks.
    """

    enough_bars: bool
    enough_tracks: bool


def followers(
    every: Types, options: Options, counts: Counts, *, in_fill: bool, has_note: bool
) -> dict[Last, Types]:
    """The types that may follow each kind of last token.

    Args:
        every: all types there are.
        options: what the generation asks.
        counts: what the counts say.
        in_fill: whether a fill is open.
        has_note: whether the bar or fill has a note.
    """
    note = NOTE_TYPES
    content = note | {POSITION}
    may_end = has_note or not options.require_notes
    end = frozenset({"FillInEnd" if in_fill else "BarEnd"})
    close_bar = frozenset({"BarEnd"}) if may_end else _NONE
    body = content | close_bar | {"MaskBar"}
    if counts.enough_bars:
        next_bar = frozenset({"TrackEnd"})
    else:
        next_bar = frozenset({"Bar"} if options.exact_bars else {"Bar", "TrackEnd"})
    piece_end = {"None"} if "TrackEnd" in next_bar else _NONE
    allowed = {
        Last.PIECE_START: frozenset({"NumBars", "Track"}),
        Last.NUM_BARS: frozenset({"Track"}),
        Last.TRACK: next_bar | {"Instrument"},
        Last.HEADER: next_bar | TRACK_ATTRIBUTES,
        Last.BAR: body | BAR_ATTRIBUTES | {"TimeSig", "FillInPlaceholder"},
        Last.BAR_ATTRIBUTE: body | BAR_ATTRIBUTES | {"TimeSig"},
        Last.METER: body | {"Tension", "BarLevelPitchClassSet", "FillInPlaceholder"},
        Last.CLOSED: frozenset({"BarEnd"}),
        Last.POSITION: note | (end if may_end else _NONE),
        Last.VELOCITY: ONSET_TYPES | {"Delta", "DeltaDirection"},
        Last.DIRECTION: frozenset({"Delta"}),
        Last.DELTA: ONSET_TYPES,
        Last.PITCH: frozenset({"NoteDuration"}),
        Last.NOTE: content | end,
        Last.BAR_END: next_bar | piece_end | {"FillInStart"},
        Last.TRACK_END: frozenset({"None"} if counts.enough_tracks else {"None", "Track"}),
        Last.FILL_START: content,
        Last.FILL_END: frozenset(
            {"FillInStart"} | (_NONE if options.strict else {"BarEnd", "None"})
        ),
        Last.OTHER: every,
    }
    return {last: types - options.removed for last, types in allowed.items()}
