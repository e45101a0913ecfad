"""Write ``song.mid``: sixteen bars for electric piano, bass, flute, strings and drums.

The piece is original and free to use, and comes out the same every time. It is the song that the
other examples and the tests work on.

Usage: ``python examples/compose_song.py [song.mid]`` (needs mido).
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import NamedTuple

import mido  # type: ignore[import-untyped]  # mido has no type information

TICKS = 480  # per quarter note
TEMPO = 600_000  # microseconds per quarter note: 100 a minute
SWING = 24  # ticks by which the off-beat eighths come late
RELEASE = 20  # ticks by which notes end early

KICK, RIM, SNARE, CLOSED_HAT, OPEN_HAT, CRASH, RIDE = 36, 37, 38, 42, 46, 49, 51
TOMS = (50, 47, 45, 43)


class Sound(NamedTuple):
    """A note in beats (quarter notes) from the start of the piece."""

    beat: float
    pitch: int
    length: float
    velocity: int


class Chord(NamedTuple):
    """A chord's bass note, its voicing for the piano, and its voicing for the strings."""

    root: int
    keys: tuple[int, ...]
    strings: tuple[int, ...]


DM9 = Chord(38, (53, 57, 60, 64), (65, 69, 76))
G13 = Chord(43, (53, 57, 59, 64), (65, 71, 76))
CMAJ9 = Chord(36, (52, 55, 59, 62), (64, 71, 74))
AM11 = Chord(33, (52, 55, 60, 62), (64, 67, 72))
C69 = Chord(36, (52, 57, 62, 67), (64, 69, 74))
FMAJ9 = Chord(41, (52, 57, 60, 67), (64, 69, 72))
EM7 = Chord(40, (55, 59, 62, 67), (67, 71, 74))
GSUS = Chord(43, (53, 57, 60, 62), (65, 69, 72))
FM6 = Chord(41, (53, 56, 60, 62), (65, 68, 74))

# four phrases of four bars: the theme, its answer, the bridge, and the theme with its end
HARMONY = (
    *(DM9, G13, CMAJ9, AM11),
    *(DM9, G13, CMAJ9, C69),
    *(FMAJ9, EM7, DM9, GSUS),
    *(DM9, G13, FM6, CMAJ9),
)

# (beat, pitch, length) by bar
Line = tuple[tuple[float, int, float], ...]
CALL: Line = ((0.5, 69, 0.5), (1, 72, 0.5), (1.5, 74, 1), (3, 72, 0.5), (3.5, 69, 0.5))
MELODY: tuple[Line, ...] = (
    CALL,
    ((0, 71, 1.5), (2, 69, 0.5), (2.5, 67, 0.5), (3, 64, 1)),
    ((0.5, 67, 0.5), (1, 69, 0.5), (1.5, 71, 1), (3, 74, 0.5), (3.5, 71, 0.5)),
    ((0, 72, 2.5),),
    CALL,
    ((0, 71, 1), (1, 74, 0.5), (1.5, 76, 1.5), (3.5, 74, 0.5)),
    ((0, 71, 1), (1, 67, 0.5), (1.5, 69, 0.5), (2, 71, 0.5), (2.5, 74, 1.5)),
    ((0, 76, 3),),
    ((0, 79, 1), (1, 76, 0.5), (1.5, 72, 1), (3, 74, 0.5), (3.5, 76, 0.5)),
    ((0, 74, 1.5), (2, 71, 0.5), (2.5, 67, 1.5)),
    ((0, 77, 1), (1, 74, 0.5), (1.5, 69, 1), (3, 72, 0.5), (3.5, 74, 0.5)),
    ((0, 72, 1), (1, 74, 0.5), (1.5, 76, 0.5), (2, 77, 1), (3, 79, 1)),
    CALL,
    ((0, 71, 1), (1, 69, 0.5), (1.5, 71, 0.5), (2, 74, 1.5), (3.5, 76, 0.5)),
    ((0.5, 72, 0.5), (1, 74, 0.5), (1.5, 77, 1), (3, 74, 0.5), (3.5, 72, 0.5)),
    ((0, 76, 3.5),),
)
LAST = len(HARMONY) - 1


def flute() -> list[Sound]:
    """The melody, a little louder where it climbs."""
    return [
        Sound(4 * bar + beat, pitch, length, 70 + (pitch - 64))
        for bar, line in enumerate(MELODY)
        for beat, pitch, length in line
    ]


def piano() -> list[Sound]:
    """Syncopated chords; broken ones in the bridge; the last one rolled."""
    sounds = []
    for bar, chord in enumerate(HARMONY):
        start = 4 * bar
        if bar == LAST:
            sounds += [Sound(start + i / 16, key, 3.75, 62) for i, key in enumerate(chord.keys)]
        elif bar // 4 == 2:
            order = (0, 1, 2, 3, 2, 1, 2, 3)
            sounds += [Sound(start + i / 2, chord.keys[k], 0.5, 58) for i, k in enumerate(order)]
        else:
            rhythm = ((0, 1.25), (1.5, 1), (3, 0.5)) if bar % 2 == 0 else ((0, 0.75), (2.5, 1.25))
            sounds += [Sound(start + b, key, d, 60) for b, d in rhythm for key in chord.keys]
    return sounds


def bass() -> list[Sound]:
    """Root and fifth, and a step into the next bar's root."""
    sounds = []
    for bar, chord in enumerate(HARMONY):
        start, root = 4 * bar, chord.root
        if bar == LAST:
            sounds.append(Sound(start, root, 4, 84))
            continue
        sounds += [Sound(start, root, 1.25, 88), Sound(start + 1.5, root, 0.5, 72)]
        sounds += [Sound(start + 2, root + 7, 1, 80), Sound(start + 3, root + 12, 0.5, 70)]
        following = HARMONY[bar + 1].root
        sounds.append(Sound(start + 3.5, following + (1 if following < root else -1), 0.5, 74))
    return sounds


def strings() -> list[Sound]:
    """Held chords from the answer on."""
    return [
        Sound(4 * bar, pitch, 4, 46 + 2 * (bar // 4))
        for bar, chord in enumerate(HARMONY)
        if bar >= 4
        for pitch in chord.strings
    ]


def drums() -> list[Sound]:
    """A light groove: rim shots in the theme, the ride in the bridge, toms before new phrases."""
    sounds = []
    for bar in range(LAST):
        phrase, start = bar // 4, 4 * bar
        fill = bar in {7, 11}
        cymbal = RIDE if phrase == 2 else CLOSED_HAT
        sounds += [
            Sound(start + step / 2, cymbal, 0.25, 66 if step % 2 == 0 else 50)
            for step in range(4 if fill else 7)
        ]
        if fill:
            sounds += [
                Sound(start + 2 + i / 2, tom, 0.25, 78 + 4 * i) for i, tom in enumerate(TOMS)
            ]
        else:
            sounds.append(Sound(start + 3.5, OPEN_HAT, 0.25, 58))
            sounds.append(Sound(start + 3, RIM if phrase == 0 else SNARE, 0.25, 82))
        sounds += [
            Sound(start, KICK, 0.25, 92),
            Sound(start + 1, RIM if phrase == 0 else SNARE, 0.25, 80),
        ]
        sounds += [Sound(start + beat, KICK, 0.25, 76) for beat in (1.5, 2.5)[bar % 2 :]]
        if bar % 4 == 0 and bar > 0:
            sounds.append(Sound(start, CRASH, 1, 74))
    return [*sounds, Sound(4 * LAST, KICK, 0.25, 88), Sound(4 * LAST, CRASH, 3, 70)]


def chunk(name: str, channel: int, program: int, sounds: list[Sound]) -> mido.MidiTrack:
    """One track of the file, played by a human: never quite on time, never twice as loud."""
    player = random.Random(name)  # noqa: S311 - for feel, not for secrets
    events = []
    for sound in sorted(sounds):
        swing = SWING if sound.beat % 1 == 0.5 else 0
        start = round(sound.beat * TICKS) + swing + player.randint(0, 9)
        end = round((sound.beat + sound.length) * TICKS) - RELEASE
        velocity = max(1, min(127, sound.velocity + player.randint(-6, 6)))
        note = {"channel": channel, "note": sound.pitch}
        events.append((start, 1, mido.Message("note_on", velocity=velocity, **note)))
        events.append((end, 0, mido.Message("note_off", **note)))
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
    track.append(mido.Message("program_change", channel=channel, program=program))
    now = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    return track


def compose() -> mido.MidiFile:
    """The whole piece."""
    song = mido.MidiFile(ticks_per_beat=TICKS)
    song.tracks.append(
        mido.MidiTrack(
            [
                mido.MetaMessage("track_name", name="Lantern Street"),
                mido.MetaMessage("time_signature", numerator=4, denominator=4),
                mido.MetaMessage("set_tempo", tempo=TEMPO),
            ]
        )
    )
    song.tracks.append(chunk("Flute", 0, 73, flute()))
    song.tracks.append(chunk("Electric piano", 1, 4, piano()))
    song.tracks.append(chunk("Bass", 2, 33, bass()))
    song.tracks.append(chunk("Strings", 3, 48, strings()))
    song.tracks.append(chunk("Drums", 9, 0, drums()))
    return song


if __name__ == "__main__":
    default = Path(__file__).with_name("song.mid")
    compose().save(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
