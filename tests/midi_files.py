"""MIDI files, put together from their events, and a short form of what is read from them."""

from midigpt import midi

END = b"\x00\xff\x2f\x00"


def number(value):
    """A variable-length number."""
    tail = [value & 0x7F]
    while value := value >> 7:
        tail.append(value & 0x7F | 0x80)
    return bytes(reversed(tail))


def on(delta, pitch, velocity=80, channel=0):
    return number(delta) + bytes([0x90 | channel, pitch, velocity])


def off(delta, pitch, channel=0):
    return number(delta) + bytes([0x80 | channel, pitch, 0])


def program(delta, value, channel=0):
    return number(delta) + bytes([0xC0 | channel, value])


def meter(delta, numerator, power):
    return number(delta) + bytes([0xFF, 0x58, 4, numerator, power, 24, 8])


def tempo(delta, microseconds):
    return number(delta) + b"\xff\x51\x03" + microseconds.to_bytes(3, "big")


def header(format_=1, chunks=1, division=480):
    fields = (format_, chunks, division)
    return b"MThd\0\0\0\6" + b"".join(field.to_bytes(2, "big") for field in fields)


def chunk(*events, kind=b"MTrk"):
    body = b"".join(events)
    return kind + len(body).to_bytes(4, "big") + body


def smf(*chunks, division=480):
    """A MIDI file of track chunks, each a list of events."""
    return header(1, len(chunks), division) + b"".join(chunk(*events, END) for events in chunks)


def notes(track):
    """(bar, pitch, onset, duration) of a track's notes."""
    return [
        (index, note.pitch, note.onset_ticks, note.duration_ticks)
        for index, bar in enumerate(track.bars)
        for note in bar.notes
    ]


def tracks(data):
    """(program, type, pitches) of a file's tracks."""
    return [
        (track.instrument, track.track_type, [pitch for _, pitch, _, _ in notes(track)])
        for track in midi.parse(data).tracks
    ]


def only_track(data):
    (track,) = midi.parse(data).tracks
    return track
