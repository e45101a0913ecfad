"""What came of comparing the two answers to one case, and how differences are counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Word = tuple[str, int]


@dataclass
class Outcome:
    """What came of comparing the two answers to one case.

    Attributes:
        compared: how many things were compared: sets, prompts, verdicts, vectors, ...
        known: differences that a numbered defect of the reference explains, by defect.
        failures: those that none does, in words.
        undecided: whether the answers hang on a rounding error somewhere; what comes before it is
            judged all the same.
    """

    compared: int = 0
    known: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    undecided: bool = False

    def settle(self, difference: str, *defects: str) -> None:
        """Count a difference: as explained by the defects, or as a failure if there are none."""
        if defects:
            self.known.update(defects)
        else:
            self.failures.append(difference)


def first_difference(ours: Sequence[Any], theirs: Sequence[Any]) -> str:
    """Where two lists part, in words."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    place = next((i for i, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
    left, right = (list(side[place : place + 6]) for side in (ours, theirs))
    return f"at {place}: ours {left}, theirs {right}"


def to_blame(
    possible: Mapping[str, set[str]], ours: Sequence[Word], theirs: Sequence[Word]
) -> list[str]:
    """The fewest defects without whose token types the streams are equal.

    Args:
        possible: the defects that the case may show, and the token types they touch.
        ours: (type, value) of each token.
        theirs: the same.

    Returns:
        Their names; none where all together do not make the streams equal.
    """

    def equal(names: set[str]) -> bool:
        dropped = set().union(*(possible[name] for name in names))
        left, right = ([w for w in side if w[0] not in dropped] for side in (ours, theirs))
        return left == right

    needed = {*possible}
    if not equal(needed):
        return []
    for name in possible:
        if equal(needed - {name}):
            needed.remove(name)
    return sorted(needed)
