"""The events of a Standard MIDI File that make up a score.

Notes come paired and grouped by chunk, channel and program. Why not a library's reader: symusic
loses notes that are never closed and misreads F7 events; mido refuses whole files for one
odd key signature or foreign chunk, and misreads running status after system exclusive events.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from midigpt.errors import MidiFileError

DRUM_CHANNEL = 9
DEFAULT_DIVISION = 480

_HEADER = b"MThd\0\0\0\6"
_HEADER_SIZE = 14
_CHUNK_HEADER_SIZE = 8

_NOTE_OFF, _NOTE_ON, _PROGRAM_CHANGE = 0x80, 0x90, 0xC0
_SYSEX, _ESCAPE, _META = 0xF0, 0xF7, 0xFF
_END_OF_TRACK, _TEMPO, _TIME_SIGNATURE = 0x2F, 0x51, 0x58

# Data bytes by channel message, and by the system messages that have no place in a file but that
# some recorders leave there.
_CHANNEL_SIZES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_SYSTEM_SIZES = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0, 0xF8: 0, 0xFA: 0, 0xFB: 0, 0xFC: 0, 0xFE: 0}


@dataclass(slots=True)
class HeardNote:
    """A note in the file's ticks; ``end`` is set once the note is closed."""

    start: int
    end: int
    pitch: int
    velocity: int


class Part(NamedTuple):
    """The notes of one chunk on one channel and program, in the order of their note-ons."""

    channel: int
    program: int
    notes: list[HeardNote]


@dataclass(slots=True)
class MidiEvents:
    """What a file says, in the file's ticks and in file order.

    ``tempos`` are (tick, microseconds per quarter), ``meters`` (tick, numerator, denominator).
    """

    division: int
    parts: list[Part] = field(default_factory=list)
    tempos: list[tuple[int, int]] = field(default_factory=list)
    meters: list[tuple[int, int, int]] = field(default_factory=list)


def read_events(data: bytes) -> MidiEvents:
    """The notes, tempos and meters of a MIDI file of format 0, 1 or 2.

    Raises:
        MidiFileError: ``data`` is not a MIDI file, or is a damaged one.
    """
    if not data.startswith(_HEADER) or len(data) < _HEADER_SIZE:
        raise MidiFileError("not a MIDI file: it does not start with an MThd header of length 6")
    format_, chunks, division = (int.from_bytes(data[at : at + 2], "big") for at in (8, 10, 12))
    if format_ > 2:
        raise MidiFileError(f"the file's format is {format_}; formats 0, 1 and 2 can be read")
    if division >= 0x8000:
        raise MidiFileError("the file counts in SMPTE frames; only ticks per quarter can be read")
    events = MidiEvents(division or DEFAULT_DIVISION)
    for number, body in enumerate(_track_chunks(data, chunks)):
        _read_chunk(number, body, events)
    return events


def _track_chunks(data: bytes, limit: int) -> list[bytes]:
    """The bodies of the first ``limit`` track chunks; other kinds of chunks are passed over."""
    bodies: list[bytes] = []
    at = _HEADER_SIZE
    while len(bodies) < limit and at < len(data):
        start = at + _CHUNK_HEADER_SIZE
        at = start + int.from_bytes(data[start - 4 : start], "big")
        if max(start, at) > len(data):
            raise MidiFileError(f"a chunk reaches past the end of the file of {len(data)} bytes")
        if data[start - 8 : start - 4] == b"MTrk":
            bodies.append(data[start:at])
    return bodies


def _read_chunk(number: int, body: bytes, events: MidiEvents) -> None:
    try:
        _ChunkReader(body, events).read()
    except IndexError:
        raise MidiFileError(f"track chunk {number} ends inside an event") from None
    except MidiFileError as error:
        raise MidiFileError(f"track chunk {number}: {error}") from None


class _ChunkReader:
    """Reads one track chunk into the file's events. Running out of bytes is an ``IndexError``."""

    def __init__(self, data: bytes, events: MidiEvents) -> None:
        self._data = data
        self._events = events
        self._at = 0
        self._tick = 0
        self._running_status: int | None = None
        self._programs = [0] * 16
        self._parts: dict[tuple[int, int], list[HeardNote]] = {}
        self._sounding: defaultdict[tuple[int, int], deque[HeardNote]] = defaultdict(deque)

    def read(self) -> None:
        while self._at < len(self._data):
            self._tick += self._number()
            status = self._status()
            if status < _SYSEX:
                self._channel_message(status)
            elif status == _META:
                if self._meta_event() == _END_OF_TRACK:
                    break
            elif status in (_SYSEX, _ESCAPE):
                self._take(self._number())
            elif status in _SYSTEM_SIZES:
                self._take(_SYSTEM_SIZES[status])
            else:
                raise MidiFileError(f"status byte 0x{status:02X} means nothing in a MIDI file")
        for notes in self._sounding.values():
            for note in notes:
                note.end = self._tick
        self._events.parts += [Part(*key, notes) for key, notes in sorted(self._parts.items())]

    def _take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise IndexError
        return self._data[start : self._at]

    def _number(self) -> int:
        """A variable-length number: seven bits a byte, at most four bytes."""
        value = 0
        for _ in range(4):
            byte = self._data[self._at]
            self._at += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise MidiFileError("a variable-length number is longer than 4 bytes")

    def _status(self) -> int:
        status = self._data[self._at]
        if status < 0x80:
            if self._running_status is None:
                raise MidiFileError("a data byte stands where a status byte is needed")
            return self._running_status
        self._at += 1
        if status < _SYSEX:
            self._running_status = status
        elif status in (_SYSEX, _ESCAPE):
            self._running_status = None
        return status

    def _meta_event(self) -> int:
        kind = self._take(1)[0]
        data = self._take(self._number())
        # Too short an event, or a tempo of 0, says nothing that could be followed.
        if kind == _TEMPO and len(data) >= 3:
            if tempo := int.from_bytes(data[:3], "big"):
                self._events.tempos.append((self._tick, tempo))
        elif kind == _TIME_SIGNATURE and len(data) >= 2:
            self._events.meters.append((self._tick, data[0], 1 << data[1]))
        return kind

    def _channel_message(self, status: int) -> None:
        kind, channel = status & 0xF0, status & 0x0F
        data = self._take(_CHANNEL_SIZES[kind])
        if max(data) > 127:
            raise MidiFileError(f"data byte {max(data)} of a message is above 127")
        if kind == _PROGRAM_CHANGE:
            self._programs[channel] = data[0]
        elif kind == _NOTE_ON and data[1] > 0:
            self._open(channel, data[0], data[1])
        elif kind in (_NOTE_ON, _NOTE_OFF) and (open_notes := self._sounding[channel, data[0]]):
            open_notes.popleft().end = self._tick

    def _open(self, channel: int, pitch: int, velocity: int) -> None:
        note = HeardNote(self._tick, self._tick, pitch, velocity)
        self._parts.setdefault((channel, self._programs[channel]), []).append(note)
        self._sounding[channel, pitch].append(note)
