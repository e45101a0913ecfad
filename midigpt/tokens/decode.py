"""From tokens to a score on the token grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from midigpt.score import Bar, Note, Score, Track, meter_quarters
from midigpt.tokens.types import BAR_LEVELS, TRACK_LEVELS, bar_key
from midigpt.tokens.values import UNKNOWN_VELOCITY, program_groups, velocity_levels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midigpt.tokens.config import EncoderConfig
    from midigpt.tokens.vocabulary import Vocabulary

# read, although no encoder writes them
_FURTHER_TRACK_LEVELS = {
    "silence_proportion_min": "TrackLevelSilenceProportionMin",
    "track_onset_density": "TrackLevelOnsetDensity",
    "track_onset_polyphony_min": "TrackLevelOnsetPolyphonyMin",
}


class Decoder:
    """Reads the tokens of one encoder config."""

    def __init__(self, config: EncoderConfig, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._resolution = config.resolution
        types = ("FillInPlaceholder", "FillInStart", "FillInEnd")
        self._fill_ids = [vocabulary.offset(type_) for type_ in types if type_ in vocabulary]
        self._steps = _steps(config, vocabulary)

    def decode(self, tokens: Sequence[int]) -> Score:
        """The score that tokens tell, at the resolution of the token grid.

        Tokens out of place are ignored: any sequence tells some score.

        Raises:
            EncodingError: a token outside the vocabulary.
        """
        for extreme in {min(tokens), max(tokens)} if tokens else ():
            self._vocabulary.decode(extreme)
        reader, steps = _Reader(), self._steps
        for reader.place, token in enumerate(self._with_fills_in_place(tokens)):
            step, meaning = steps[token]
            step(reader, meaning)
        return Score(reader.tracks, self._resolution)

    def _with_fills_in_place(self, tokens: Sequence[int]) -> Sequence[int]:
        """The stream up to the first fill block, each placeholder replaced by its block."""
        if len(self._fill_ids) < 3:
            return tokens
        placeholder, start, end = self._fill_ids
        blocks = _blocks(tokens, start, end)
        spliced: list[int] = []
        for token in tokens[: _find(tokens, start, 0)]:
            spliced += next(blocks, (token,)) if token == placeholder else (token,)
        return spliced


def _blocks(tokens: Sequence[int], start: int, end: int) -> Iterator[Sequence[int]]:
    """What stands between each ``start`` and the next ``end``; the last block may be open."""
    at = _find(tokens, start, 0)
    while at < len(tokens):
        stop = _find(tokens, end, at)
        yield tokens[at + 1 : stop]
        at = _find(tokens, start, stop)


def _find(tokens: Sequence[int], token: int, at: int) -> int:
    """The first place of a token from ``at`` on; the length of the sequence if there is none."""
    try:
        return tokens.index(token, at)
    except ValueError:
        return len(tokens)


@dataclass(slots=True)
class _Reader:
    """A score being read: what is open, and what the next note will be like."""

    tracks: list[Track] = field(default_factory=list)
    place: int = 0  # of the token being read
    _track: Track | None = None
    _bar: Bar | None = None
    _bar_index: int = -1
    _notes: list[Note] | None = None  # of the bar, while it takes notes
    _quarters: float = 4.0
    _onset: int = 0
    _velocity: int = UNKNOWN_VELOCITY
    _sign: int = 1
    _delta: int = 0
    _pitch: int = 0
    _pitch_place: int = -2

    def track(self, track_type: str) -> None:
        """Open a track; one that is still open goes on."""
        if self._track is None:
            self._track = Track()
            self.tracks.append(self._track)
        self._track.track_type = track_type
        self._velocity = UNKNOWN_VELOCITY
        self._leave_bar()

    def track_end(self, _: int) -> None:
        """Close the track, if one is open."""
        self._track = None
        self._leave_bar()

    def instrument(self, program: int) -> None:
        """Set the track's program."""
        if self._track is not None:
            self._track.instrument = program

    def bar(self, _: int) -> None:
        """Open a bar."""
        self._bar_index += 1
        self._quarters = 4.0
        self.position(0)
        if self._track is not None:
            self._bar = Bar(beat_length=0.0)
            self._notes = self._bar.notes
            self._track.bars.append(self._bar)

    def meter(self, meter: tuple[int, int]) -> None:
        """Set the bar's meter."""
        self._quarters = meter_quarters(*meter)
        if self._bar is not None:
            self._bar.ts_numerator, self._bar.ts_denominator = meter

    def bar_end(self, _: int) -> None:
        """Close the bar: it gets its length, and takes no more notes."""
        self._notes = None
        if self._bar is not None:
            self._bar.beat_length = self._quarters

    def position(self, onset: int) -> None:
        """Go to an onset."""
        self._onset = onset
        self._sign, self._delta = 1, 0

    def velocity(self, velocity: int) -> None:
        """Set the velocity of the notes that follow."""
        self._velocity = velocity

    def direction(self, _: int) -> None:
        """Count microtiming downwards."""
        self._sign, self._delta = -1, 0

    def delta(self, magnitude: int) -> None:
        """Move the next note by microtiming."""
        self._delta += self._sign * magnitude

    def pitch(self, pitch: int) -> None:
        """A drum note; on a melodic track, the pitch of the duration that comes next."""
        self._pitch, self._pitch_place = pitch, self.place
        if self._track is not None and self._track.is_drum:
            self._note(1)

    def duration(self, value: int) -> None:
        """A note of the pitch just before; at the start of a track, a level."""
        if self._bar is None:
            self.track_level(("note_duration_dist", value))
        elif self._pitch_place == self.place - 1:
            self._note(value + 1)

    def track_level(self, level: tuple[str, int]) -> None:
        """Keep an attribute level of the track."""
        if self._track is not None:
            self._track.attributes[level[0]] = level[1]

    def bar_level(self, level: tuple[str, int]) -> None:
        """Keep an attribute level of the bar."""
        if self._track is not None and self._bar is not None:
            self._track.attributes[bar_key(level[0], self._bar_index)] = level[1]

    def onset_polyphony(self, level: int) -> None:
        """Keep a level that belongs to the track before its first bar, and to a bar after that."""
        if self._bar is None:
            self.track_level(("onset_polyphony", level))
        else:
            self.bar_level(("BarLevelOnsetPolyphonyMax", level))

    def nothing(self, _: int) -> None:
        """A token that says nothing about the notes."""

    def _leave_bar(self) -> None:
        self._bar = self._notes = None
        self._bar_index = -1

    def _note(self, duration: int) -> None:
        if self._notes is None:
            return
        self._notes.append(Note(self._pitch, self._velocity, self._onset, duration, self._delta))
        self._sign, self._delta = 1, 0


_Step = Callable[[_Reader, Any], None]
_Meaning = Callable[[int], Any]


def _steps(config: EncoderConfig, vocabulary: Vocabulary) -> list[tuple[_Step, Any]]:
    """Per token id, what to do and what to do it with."""
    by_type = _steps_by_type(config, vocabulary)
    steps: list[tuple[_Step, Any]] = []
    for type_, value in zip(vocabulary.types, vocabulary.values, strict=True):
        step, meaning = by_type.get(type_, (_Reader.nothing, int))
        steps.append((step, meaning(value)))
    return steps


def _steps_by_type(
    config: EncoderConfig, vocabulary: Vocabulary
) -> dict[str, tuple[_Step, _Meaning]]:
    """Per type, what to do with a token, and what its value means there."""
    programs = program_groups(config.instrument_merge_groups).program
    meters = config.time_signatures or ()
    levels = vocabulary.domain_size("VelocityLevel")
    velocities = velocity_levels(levels).velocity if levels else ()
    track_levels = TRACK_LEVELS | _FURTHER_TRACK_LEVELS
    return {
        "Track": (_Reader.track, lambda value: "drum" if value == 1 else "melodic"),
        "TrackEnd": (_Reader.track_end, int),
        "Instrument": (_Reader.instrument, lambda v: programs[v] if v < len(programs) else 0),
        "Bar": (_Reader.bar, int),
        "TimeSig": (_Reader.meter, lambda value: meters[value] if value < len(meters) else (4, 4)),
        "BarEnd": (_Reader.bar_end, int),
        "TimeAbsolutePos": (_Reader.position, int),
        "VelocityLevel": (_Reader.velocity, velocities.__getitem__),
        "DeltaDirection": (_Reader.direction, int),
        "Delta": (_Reader.delta, int),
        "NoteOnset": (_Reader.pitch, config.lowest_pitch.__add__),
        "NotePitch": (_Reader.pitch, int),
        "NoteDuration": (_Reader.duration, int),
        **{t: (_Reader.bar_level, partial(_named, name)) for name, t in BAR_LEVELS.items()},
        **{t: (_Reader.track_level, partial(_named, name)) for name, t in track_levels.items()},
        "BarLevelOnsetPolyphonyMax": (_Reader.onset_polyphony, int),
    }


def _named(name: str, level: int) -> tuple[str, int]:
    return name, level
