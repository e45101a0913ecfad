import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from midigpt.model.sampling import draw, probabilities, reweight, uniform

ALL = torch.ones(1, 3, dtype=torch.bool)


def test_probabilities_are_a_softmax_over_the_legal_tokens():
    logits = torch.tensor([[0.0, math.log(3), 9.0]])
    legal = torch.tensor([[True, True, False]])

    probs = probabilities(logits, legal, torch.tensor([[1.0]]))

    assert probs.tolist() == [pytest.approx([0.25, 0.75, 0.0])]


def test_each_row_has_its_own_temperature():
    logits = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    legal = torch.ones(2, 2, dtype=torch.bool)

    probs = probabilities(logits, legal, torch.tensor([[1.0], [0.5]]))

    odds = (probs[:, 1] / probs[:, 0]).tolist()
    assert odds == pytest.approx([math.e, math.e**2])


@pytest.mark.parametrize("temperature", [1e-6, 1e-38, 1e-300])
def test_a_tiny_temperature_is_the_argmax(temperature):
    logits = torch.tensor([[1.0, 1.5, 1.25]])
    probs = probabilities(logits, ALL, torch.tensor([[temperature]]))
    assert probs.tolist() == [[0.0, 1.0, 0.0]]


def test_a_huge_temperature_is_uniform():
    probs = probabilities(torch.tensor([[1.0, 2.0, 3.0]]), ALL, torch.tensor([[1e300]]))
    assert probs.tolist() == [pytest.approx([1 / 3] * 3)]


def test_logits_that_are_no_numbers_leave_the_other_rows_alone():
    logits = torch.tensor([[math.nan, 1.0, 2.0], [0.0, 0.0, 0.0]])
    legal = torch.tensor([[True, False, True], [True, True, False]])

    probs = probabilities(logits, legal, torch.ones(2, 1))

    assert probs.tolist() == [[0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]


def test_reweighting_renormalises():
    probs = torch.tensor([[0.5, 0.25, 0.25]])
    assert reweight(probs, torch.tensor([1.0, 0.0, 2.0])).tolist() == [[0.5, 0.0, 0.5]]


def test_weights_that_leave_nothing_are_ignored():
    probs = torch.tensor([[1.0, 0.0]])
    assert reweight(probs, torch.tensor([0.0, 1.0])).tolist() == [[1.0, 0.0]]


def test_draws_follow_the_cumulative_distribution():
    probs = torch.tensor([[0.25, 0.0, 0.75]]).repeat(4, 1)
    assert draw(probs, [0.0, 0.2499, 0.25, 0.9999999]) == [0, 0, 2, 2]


def test_draws_need_no_normalised_distribution():
    assert draw(torch.tensor([[1.0, 3.0]]), [0.25]) == [1]


@given(
    st.lists(st.sampled_from([0.0, 1e-30, 0.1, 0.5, 1.0]), min_size=2).filter(any),
    st.floats(0, 1, exclude_max=True),
)
def test_an_impossible_token_is_never_drawn(weights, number):
    (token,) = draw(torch.tensor([weights]), [number])
    assert weights[token] > 0


def test_the_largest_number_draws_the_last_possible_token():
    below_one = 1 - 2**-53
    totals = torch.linspace(0.5, 1, 1000, dtype=torch.float32)
    probs = torch.stack([totals / 2, totals / 2, torch.zeros(1000)], dim=1)
    assert draw(probs, [below_one] * 1000) == [1] * 1000


@given(st.integers(0, 2**64), st.integers(0, 2**31), st.integers(0, 100), st.integers(0, 10_000))
def test_a_number_belongs_to_its_place(seed, step, attempt, position):
    number = uniform(seed, step, attempt, position)

    assert 0 <= number < 1
    assert number == uniform(seed, step, attempt, position)
    assert number != uniform(seed, step, attempt, position + 1)
    assert number != uniform(seed, step, attempt + 1, position)
    assert number != uniform(seed, step + 1, attempt, position)
    assert number != uniform(seed + 1, step, attempt, position)


def test_the_numbers_do_not_change():
    numbers = [uniform(7, 0, 0, position) for position in range(3)]
    assert numbers == [0.7584968808564502, 0.7140870772985042, 0.12372576581849482]


def test_the_numbers_are_evenly_spread():
    numbers = [uniform(1, step, 0, position) for step in range(10) for position in range(1000)]
    tenths = [sum(int(n * 10) == tenth for n in numbers) for tenth in range(10)]
    assert min(tenths) > 900
    assert max(tenths) < 1100
