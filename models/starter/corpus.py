"""The lessons of a training, in files: written ahead by one process, read by another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from midigpt.inference.language import Language

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from random import Random

    from lessons import Lesson

HERE = Path(__file__).parent
WORK = HERE.parents[1] / "build" / "starter"
"""Where corpus and training state are kept; not part of the repository."""

CONTEXT = 2048
TRAINING, HELD_OUT = "training", "held out"
"""Names that pieces begin with; a held-out piece is never trained on."""


def starter_language() -> Language:
    """The tokens and attributes of the starter's encoder."""
    return Language.of(json.loads((HERE / "encoder.json").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Corpus:
    """Many lessons, one after the other.

    Attributes:
        tokens: their tokens, (tokens of all lessons,).
        positions: the tokens' places in the context, likewise.
        ends: where each lesson ends, (lessons,).
        prompts: the tokens of each lesson that are prompt, (lessons,).
    """

    tokens: NDArray[np.uint16]
    positions: NDArray[np.uint16]
    ends: NDArray[np.int64]
    prompts: NDArray[np.int64]

    @classmethod
    def of(cls, lessons: Iterable[Lesson]) -> Corpus:
        """A corpus of these lessons."""
        kept = list(lessons)
        return cls(
            np.array([token for one in kept for token in one.tokens], np.uint16),
            np.array([place for one in kept for place in one.positions], np.uint16),
            np.cumsum([len(one.tokens) for one in kept], dtype=np.int64),
            np.array([one.prompt for one in kept], np.int64),
        )

    @classmethod
    def read(cls, folder: Path, collection: str) -> Corpus:
        """All files of a collection.

        Raises:
            FileNotFoundError: there is none.
        """
        paths = sorted(folder.glob(f"{collection} *.npz"))
        if not paths:
            raise FileNotFoundError(f"{folder} has no lessons; run models/starter/prepare.py first")
        parts = []
        for path in paths:
            with np.load(path) as file:
                parts.append(cls(**{name: file[name] for name in cls.__annotations__}))
        shifts = np.cumsum([0, *(len(part.tokens) for part in parts[:-1])])
        return cls(
            np.concatenate([part.tokens for part in parts]),
            np.concatenate([part.positions for part in parts]),
            np.concatenate([part.ends + by for part, by in zip(parts, shifts, strict=True)]),
            np.concatenate([part.prompts for part in parts]),
        )

    def write(self, path: Path) -> None:
        """Write the corpus; a file half written is never seen under its name."""
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, **vars(self))
        partial.rename(path)

    def __len__(self) -> int:
        """How many lessons there are."""
        return len(self.ends)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each lesson."""
        return np.diff(self.ends, prepend=0)

    def batches(self, rng: Random, most: int) -> list[list[int]]:
        """All lessons in random order, those of about the same length together.

        Args:
            rng: chance.
            most: the most tokens of a batch, padding counted in.
        """
        order = list(range(len(self)))
        rng.shuffle(order)
        batches: list[list[int]] = []
        lengths = self.lengths
        for first in range(0, len(order), POOL):
            pool = sorted(order[first : first + POOL], key=lambda number: int(lengths[number]))
            batches += _packed(pool, lengths, most)
        rng.shuffle(batches)
        return batches

    def padded(self, numbers: Sequence[int]) -> tuple[NDArray[np.int64], ...]:
        """Some lessons as rectangles of equal length, a multiple of 64.

        Returns:
            Tokens and positions, 0 where there is nothing, and the kind of each token: 0 nothing,
            1 prompt, 2 continuation; (lessons, length) each.
        """
        longest = max(int(self.lengths[number]) for number in numbers)
        shape = (len(numbers), -(-longest // 64) * 64)
        tokens, places, kinds = (np.zeros(shape, np.int64) for _ in range(3))
        for row, number in enumerate(numbers):
            end = int(self.ends[number])
            length = int(self.lengths[number])
            tokens[row, :length] = self.tokens[end - length : end]
            places[row, :length] = self.positions[end - length : end]
            kinds[row, :length] = 2
            kinds[row, : self.prompts[number]] = 1
        return tokens, places, kinds


POOL = 400
"""Lessons among which those of equal length are found."""


def _packed(pool: Sequence[int], lengths: NDArray[np.int64], most: int) -> Iterator[list[int]]:
    """Batches of lessons that ascend in length."""
    batch: list[int] = []
    for number in pool:
        if batch and (len(batch) + 1) * int(lengths[number]) > most:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
