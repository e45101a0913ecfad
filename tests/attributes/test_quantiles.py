import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midigpt.attributes.quantiles import Distribution
from midigpt.attributes.registry import build
from midigpt.attributes.table import Groups
from tests.attributes.music import bar, melody, note, piece

MIN = build("polyphony_quantile", {"mode": "min"})
MAX = build("polyphony_quantile", {"mode": "max"})
CHORD = [note(60, 0, 48), note(64, 0, 48), note(67, 0, 48)]


def distribution(groups, *values, weights=None):
    """Of (group, value) pairs."""
    group, value = np.array(values, np.int64).reshape(-1, 2).T
    weight = None if weights is None else np.array(weights, np.int64)
    return Distribution(Groups(group, groups), value, weight)


def test_quantiles_of_groups():
    mixed = distribution(2, (1, 5), (0, 7), (1, 3), (1, 4))

    assert mixed.quantile(0.5).tolist() == [7, 5]
    assert mixed.quantile(0.0).tolist() == [7, 3]
    assert mixed.size.tolist() == [1, 3]


def test_ranks():
    assert distribution(1, (0, 9), (0, 1), (0, 5)).at(np.array([1])).tolist() == [5]


def test_empty_groups_are_zero():
    assert distribution(3, (1, 5)).quantile(0.85).tolist() == [0, 5, 0]
    assert distribution(0).quantile(0.85).tolist() == []


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(1, 4))),
    st.sampled_from([0.15, 0.5, 0.85]),
)
def test_a_weight_is_so_many_values(triples, q):
    weighted = distribution(3, *((g, v) for g, v, _ in triples), weights=[w for *_, w in triples])
    repeated = distribution(3, *((g, v) for g, v, w in triples for _ in range(w)))

    assert weighted.quantile(q).tolist() == repeated.quantile(q).tolist()


def test_what_new_bars_can_change():
    score = piece(melody(bar(*CHORD), bar(note(60, 0, 48))))

    assert MAX.achievable_range(score, 0, [1]) == (2, 9)
    assert MIN.achievable_range(score, 0, [1]) == (0, 2)
    assert MAX.achievable_range(score, 0, [0]) == (0, 9)
    assert MIN.achievable_range(score, 0, [0, 1]) == (0, 0)


@pytest.mark.parametrize("t", [-1, 1])
def test_anything_is_possible_on_a_missing_track(t):
    assert MAX.achievable_range(piece(melody(bar(*CHORD))), t, []) == (0, 9)


def test_anything_is_possible_in_a_bar():
    attribute = build("polyphony_quantile", {"mode": "max", "level": "bar"})

    assert attribute.achievable_range(piece(melody(bar(*CHORD))), 0, []) == (0, 9)
