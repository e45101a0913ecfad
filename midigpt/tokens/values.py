"""What token values stand for: programs in groups, velocities in levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from midigpt.errors import EncoderConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNKNOWN_VELOCITY = 100
"""The velocity of a note that was written without one."""


class ProgramGroups(NamedTuple):
    """MIDI programs that share a token.

    Attributes:
        group: per program 0..127, the value of its token.
        program: per value, the program it stands for.
    """

    group: tuple[int, ...]
    program: tuple[int, ...]


def program_groups(merged: Iterable[Sequence[int]]) -> ProgramGroups:
    """Number the groups of programs in the order of their representatives.

    Args:
        merged: groups to be merged, one after the other; the first member of each stands for it.
    """
    representative = list(range(128))
    for members in merged:
        for program in members:
            representative[program] = members[0]
    programs = tuple(sorted(set(representative)))
    number = {program: value for value, program in enumerate(programs)}
    return ProgramGroups(tuple(number[program] for program in representative), programs)


class VelocityLevels(NamedTuple):
    """MIDI velocities quantised.

    Attributes:
        level: per velocity 0..127, its level. Only velocity 0 has level 0.
        velocity: per level, the velocity it is played with.
    """

    level: tuple[int, ...]
    velocity: tuple[int, ...]


def velocity_levels(size: int) -> VelocityLevels:
    """Quantise velocities to ``size`` levels, of which level 0 means that none is known.

    A level is played with the second softest of its velocities, or with the only one.

    Raises:
        EncoderConfigError: fewer than two levels.
    """
    if size < 2:
        raise EncoderConfigError(f"VelocityLevel has {size} levels: at least 2 are needed")
    top = size - 1
    level = (0, *(min(1 + velocity * top // 128, top) for velocity in range(1, 127)), top)
    members: list[list[int]] = [[] for _ in range(size)]
    for velocity in range(1, 128):
        members[level[velocity]].append(velocity)
    played = [(softest[:2] or [0])[-1] for softest in members]
    return VelocityLevels(level, (UNKNOWN_VELOCITY, *played[1:]))
