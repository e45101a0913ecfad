"""Voice leading: the notes of each chord, close to those of the chord before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .harmony import Chord
    from .keys import Key


def voice(
    chord: Chord,
    key: Key,
    count: int,
    centre: int,
    previous: Sequence[int] = (),
    *,
    open_position: bool = False,
) -> list[int]:
    """Pitches for a chord, ascending.

    Args:
        chord: the chord.
        key: its key.
        count: number of voices; where the range is too small for so many there are fewer.
        centre: pitch around which they lie.
        previous: the pitches before, from which the voices move as little as they can.
        open_position: leave out every other note of the close position.
    """
    reach = 10 + 3 * count
    ladder = chord.ladder(key, max(24, centre - reach), min(103, centre + reach))
    stride = 2 if open_position and count <= 4 else 1
    span = stride * (count - 1) + 1
    if len(ladder) < span:
        return ladder[:count]
    choices = [ladder[i : i + span : stride] for i in range(len(ladder) - span + 1)]
    return min(choices, key=lambda pitches: _unrest(pitches, previous, centre))


def _unrest(pitches: Sequence[int], previous: Sequence[int], centre: int) -> float:
    drift = abs(sum(pitches) / len(pitches) - centre)
    moves = sum(abs(a - b) for a, b in zip(pitches, previous, strict=False))
    return moves / len(pitches) + 0.3 * drift
