"""What all attributes have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np

from midigpt.attributes.table import Level, NoteTable
from midigpt.errors import EncoderConfigError
from midigpt.score import Bar, Score, Track

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from midigpt.attributes.table import IntArray

TrackType = Literal["melodic", "drum", "both"]
T = TypeVar("T")

LEVELS: tuple[Level, ...] = get_args(Level)
TRACK_TYPES: tuple[TrackType, ...] = get_args(TrackType)


class Attribute(ABC):
    """A musical property of a track, or of a bar of one, on a scale of a few levels.

    Subclasses say how to :meth:`measure` a value and, where the value is not a level already, how
    to turn it into one (:meth:`levels`).

    Attributes:
        name: what callers call it.
        token_type: the type of its tokens.
        size: number of levels; they are ``0 .. size - 1``.
        level: whether it describes a track or a bar.
        track_type: the tracks it applies to.
    """

    def __init__(
        self, name: str, token_type: str, size: int, level: Level, track_type: TrackType
    ) -> None:
        self.name = name
        self.token_type = token_type
        self.size = size
        self.level: Level = one_of("level", level, LEVELS)
        self.track_type: TrackType = one_of("track_type", track_type, TRACK_TYPES)

    @abstractmethod
    def measure(self, table: NoteTable) -> NDArray[Any]:
        """The value of every track of the table, or of every bar for a bar attribute.

        Returns:
            Shape (tracks,) or (bars,); integers or floats.
        """

    def levels(self, values: NDArray[Any]) -> IntArray:
        """The levels of values, element by element; the values themselves by default."""
        return values.astype(np.int64)

    def value_labels(self) -> list[str]:
        """What the levels mean, for a person to read; empty if the numbers speak."""
        return []

    def achievable_range(
        self,
        score: Score,  # noqa: ARG002 - for the attributes that can tell
        track_idx: int,  # noqa: ARG002 - likewise
        generated_bars: Iterable[int],  # noqa: ARG002 - likewise
    ) -> tuple[int, int]:
        """Lowest and highest level that can come true if only some bars are written anew.

        Args:
            score: the score as it is.
            track_idx: a track of it; for one that does not exist, any level is possible.
            generated_bars: the bars that will be written anew.
        """
        return 0, self.size - 1

    def compute(self, score: Score, track_idx: int, bar_idx: int | None = None) -> float:
        """The value of one track, or of one of its bars.

        Args:
            score: any score.
            track_idx: index of the track.
            bar_idx: index of the bar; only bar attributes look at it.

        Raises:
            IndexError: no such track.
        """
        return self.value_at(NoteTable(score, track_idx), bar_idx)

    def value_at(self, table: NoteTable, bar: int | None) -> float:
        """The value of the first track of a table, or of a bar; a missing bar counts as empty."""
        values = self.measure(table)
        index = 0 if self.level == "track" else bar
        if index is None or not 0 <= index < len(values):
            values, index = self.measure(NoteTable(Score([Track([Bar()])]))), 0
        value: float = values[index].item()
        return value

    def quantize(self, value: float) -> int:
        """The level of one value."""
        return int(self.levels(np.array([value]))[0])

    def applies_to(self, track: Track) -> bool:
        """Whether tracks of this kind have the attribute."""
        return self.track_type in ("both", "drum" if track.is_drum else "melodic")


def one_of(member: str, value: object, accepted: tuple[T, ...]) -> T:
    """The value, if it is an accepted one.

    Raises:
        EncoderConfigError: it is not.
    """
    for choice in accepted:
        if value == choice:
            return choice
    names = ", ".join(map(repr, accepted))
    raise EncoderConfigError(f"attribute_controls: {member}: must be one of {names}, not {value!r}")
