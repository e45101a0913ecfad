"""Where chance comes from: random numbers that depend on a name alone."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


def dice(*name: object) -> Random:
    """Random numbers that are the same for the same name, on every machine."""
    return Random("/".join(map(str, name)))  # noqa: S311 - music, not secrets


def weighted(rng: Random, odds: Mapping[T, float]) -> T:
    """One of the keys, drawn with odds proportional to its value."""
    return rng.choices(list(odds), list(odds.values()))[0]
