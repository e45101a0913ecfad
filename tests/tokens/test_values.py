import pytest

from midigpt.errors import EncoderConfigError
from midigpt.tokens.values import program_groups, velocity_levels


def test_every_program_is_a_group_of_its_own():
    groups = program_groups([])
    assert groups.group == groups.program == tuple(range(128))


def test_the_first_program_of_a_group_stands_for_it():
    groups = program_groups([[0, 1, 2], [10, 3]])
    assert groups.program[:4] == (0, 4, 5, 6)
    assert groups.group[:5] == (0, 0, 0, groups.group[10], 1)
    assert groups.program[groups.group[3]] == 10


def test_a_later_group_takes_a_program_away():
    groups = program_groups([[0, 1], [1, 0]])
    assert groups.program[0] == 1
    assert groups.group[0] == groups.group[1] == 0


def test_velocities_fall_in_levels():
    levels = velocity_levels(32)
    assert [levels.level[v] for v in (0, 1, 4, 5, 80, 126, 127)] == [0, 1, 1, 2, 20, 31, 31]
    assert levels.velocity[:4] == (100, 2, 6, 10)
    assert levels.velocity[31] == 125


def test_with_a_level_each_velocities_are_exact():
    levels = velocity_levels(128)
    assert levels.level == tuple(range(128))
    assert levels.velocity == (100, *range(1, 128))


def test_with_two_levels_there_is_one_velocity():
    levels = velocity_levels(2)
    assert set(levels.level[1:]) == {1}
    assert levels.velocity == (100, 2)


def test_a_level_without_velocities_is_silent():
    levels = velocity_levels(300)
    assert levels.velocity[2] == 0


def test_one_level_says_nothing():
    with pytest.raises(EncoderConfigError, match="VelocityLevel has 1 levels"):
        velocity_levels(1)
