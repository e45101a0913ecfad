"""How many notes sound at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from midigpt.attributes.table import IntArray


class Runs(NamedTuple):
    """Stretches of time during which a constant number of notes sounds.

    Attributes:
        group: the group of every stretch, ascending.
        voices: how many notes sound; at least 1.
        ticks: how long it lasts; at least 1.
    """

    group: IntArray
    voices: IntArray
    ticks: IntArray


def sounding(group: IntArray, start: IntArray, end: IntArray) -> Runs:
    """The stretches of every group of notes.

    A sweep over the starts and ends of notes: the work does not depend on how long they are.

    Args:
        group: the group of every note, shape (notes,).
        start: first tick of every note, on the clock of its group.
        end: the tick after its last; notes that end where they start are left out.
    """
    heard = end > start
    group = np.concatenate([group[heard]] * 2)
    time = np.concatenate([start[heard], end[heard]])
    change = np.repeat([1, -1], heard.sum())
    order = np.lexsort((time, group))
    group, time = group[order], time[order]
    # all notes of a group end in it, so the count is 0 again where the next group begins
    voices = np.cumsum(change[order])[:-1]
    ticks = np.diff(time)
    runs = (voices > 0) & (ticks > 0)
    return Runs(group[:-1][runs], voices[runs], ticks[runs])
