"""Random music in the packed form of the recorded cases (``tests.contract.vectors.unpack``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    Meter = tuple[int, int]
    Packed = dict[str, Any]

RESOLUTIONS = (12, 12, 24, 96, 100, 120, 220, 480, 480, 960)
MOST_NOTES = 14
"""Per bar. More than 16 notes at one position come out of the reference's sort in any order."""

ODD = 0.06
"""Share of the cases with values that a careful caller would not send."""

DRUM_PITCHES = (35, 36, 38, 40, 42, 44, 46, 49, 51)


def draw_score(
    rng: Random,
    *,
    bars: int,
    meters: Sequence[Meter] = ((4, 4),),
    tracks: int | None = None,
    resolution: int | None = None,
    mixed: bool = False,
    odd: bool = False,
    busy: int = MOST_NOTES,
) -> Packed:
    """A score.

    Args:
        rng: the source of everything random.
        bars: bars of every track.
        meters: one of them is the meter of the piece.
        tracks: how many; by default 1 to 4.
        resolution: ticks per quarter note; by default one of :data:`RESOLUTIONS`.
        mixed: each bar has its own meter.
        odd: some notes and programs are not what a careful caller would send.
        busy: the most notes of a bar.
    """
    resolution = resolution or rng.choice(RESOLUTIONS)
    one = rng.choice(meters)
    per_bar = [rng.choice(meters) if mixed else one for _ in range(bars)]
    return {
        "resolution": resolution,
        "tempo": rng.choice((500_000, 400_000, 612_345)),
        "tracks": [
            _track(rng, per_bar, resolution, odd=odd, busy=busy)
            for _ in range(tracks or rng.randint(1, 4))
        ],
    }


def _track(
    rng: Random, per_bar: Sequence[Meter], resolution: int, *, odd: bool, busy: int
) -> Packed:
    drum = rng.random() < 0.3
    style = {
        "pitches": DRUM_PITCHES if drum else range(*sorted(rng.sample(range(20, 110), 2))),
        "grid": rng.choice((1, 2, 3, 4, 6)),
        "loose": rng.random() < 0.3,
        "chords": rng.choice((1, 1, 2, 4)),
        "longest": rng.choice((1, 2, 4, 9)),
        "most": rng.choice((0, 3, 6, busy)),
    }
    program = rng.choice((-1, 128, 200)) if odd and rng.random() < 0.3 else rng.randrange(128)
    return {
        "instrument": program,
        "track_type": "drum" if drum else "melodic",
        "bars": [
            {"ts": list(meter), "notes": _notes(rng, meter, resolution, style, odd=odd)}
            for meter in per_bar
        ],
    }


def _notes(
    rng: Random, meter: Meter, resolution: int, style: dict[str, Any], *, odd: bool
) -> list[list[int]]:
    length = max(1, 4 * resolution * meter[0] // meter[1])
    spacing = max(1, resolution // style["grid"])
    notes: list[list[int]] = []
    count = rng.randint(0, min(style["most"], MOST_NOTES))
    while len(notes) < count:
        onset = rng.randrange(0, length, spacing)
        if style["loose"]:
            onset = min(length - 1, onset + rng.randrange(spacing))
        size = min(style["chords"], count - len(notes))
        notes += [_note(rng, onset, resolution, style) for _ in range(size)]
    if odd and notes:
        _spoil(rng, rng.choice(notes), resolution)
    if rng.random() < 0.7:
        notes.sort(key=lambda note: note[2])
    return notes


def _note(rng: Random, onset: int, resolution: int, style: dict[str, Any]) -> list[int]:
    duration = rng.randint(1, style["longest"] * resolution)
    delta = rng.randint(-resolution, resolution) if style["loose"] and rng.random() < 0.5 else 0
    return [rng.choice(style["pitches"]), rng.randint(1, 127), onset, duration, delta]


def _spoil(rng: Random, note: list[int], resolution: int) -> None:
    """Give the note one value that makes little sense."""
    place, values = rng.choice(
        (
            (0, (0, 127, -1, 130)),
            (1, (0, 0, -3, 128, 200)),
            (2, (-1, -resolution, 30 * resolution)),
            (3, (0, -5, 40 * resolution)),
            (4, (-30 * resolution, 30 * resolution)),
        )
    )
    note[place] = rng.choice(values)


def hide_bars(rng: Random, score: Packed, *, share: float = 0.3) -> None:
    """Flag some bars as hidden from the model."""
    for track in score["tracks"]:
        for bar in track["bars"]:
            if rng.random() < share:
                bar["future"] = True
