import numpy as np

from midigpt.attributes.voices import sounding


def runs(*notes):
    """Stretches of (group, start, end) notes as (group, voices, ticks)."""
    group, start, end = np.array(notes, np.int64).reshape(-1, 3).T
    return [tuple(map(int, run)) for run in zip(*sounding(group, start, end), strict=True)]


def test_a_stretch_per_number_of_voices():
    assert runs((0, 0, 10), (0, 4, 6)) == [(0, 1, 4), (0, 2, 2), (0, 1, 4)]


def test_silence_is_no_stretch():
    assert runs((0, 0, 2), (0, 5, 6)) == [(0, 1, 2), (0, 1, 1)]


def test_groups_have_their_own_clocks():
    assert runs((1, 0, 3), (0, 2, 9)) == [(0, 1, 7), (1, 1, 3)]


def test_notes_without_length_are_not_heard():
    assert runs((0, 3, 3), (0, 5, 2)) == []


def test_nothing():
    assert runs() == []


def test_length_costs_nothing():
    assert runs((0, 0, 2**40)) == [(0, 1, 2**40)]
