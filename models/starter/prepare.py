"""Writes the lessons of a training, ``PIECES`` pieces to a file.

It may go on beside the training of another model, and be stopped and started again: files that are
there are left as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from composer import compose
from composer.dice import dice
from corpus import CONTEXT, HELD_OUT, TRAINING, WORK, Corpus, starter_language
from lessons import draw_exercise, lesson, plan
from tqdm import tqdm  # type: ignore[import-untyped]  # tqdm has no type information

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lessons import Lesson

    from midigpt.inference.language import Language

PIECES = 100
"""Pieces in a file."""

LESSONS = 6
"""Lessons drawn from a piece."""


def lessons_of(collection: str, number: int, language: Language) -> Iterator[Lesson]:
    """The lessons of one piece of a collection; the same every time."""
    piece = compose(f"{collection} {number}").score
    for index in range(LESSONS):
        rng = dice(collection, number, "lesson", index)
        exercise = draw_exercise(rng, piece, language)
        if exercise is None:
            continue
        _, steps = plan(exercise, language)
        found = lesson(exercise, rng.randrange(len(steps)), language)
        if found is not None and len(found.tokens) <= CONTEXT and found.positions[-1] < CONTEXT:
            yield found


def main() -> None:
    """Write the files that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pieces", type=int, default=15000, help="pieces to train on")
    parser.add_argument("--held-out", type=int, default=PIECES, help="pieces to test on")
    parser.add_argument("--folder", type=Path, default=WORK)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    language = starter_language()
    wanted = [(HELD_OUT, n) for n in range(0, arguments.held_out, PIECES)]
    wanted += [(TRAINING, n) for n in range(0, arguments.pieces, PIECES)]
    for collection, first in tqdm(wanted, unit="file"):
        path = arguments.folder / f"{collection} {first:06}.npz"
        if not path.exists():
            numbers = range(first, first + PIECES)
            found = (one for n in numbers for one in lessons_of(collection, n, language))
            Corpus.of(found).write(path)


if __name__ == "__main__":
    main()
