import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from midigpt.inference.filters import Filters
from midigpt.inference.request import InferenceConfig

PROBS = [0.1, 0.4, 0.2, 0.0, 0.3]
NOTES = torch.tensor([True, True, False, True, True])
NO_NOTES = torch.zeros(5, dtype=torch.bool)


def filtered(probs, droppable=NOTES, **filters):
    """One row, filtered."""
    return Filters(droppable, **filters).apply(torch.tensor([probs]))[0].tolist()


def test_without_filters_nothing_is_computed():
    probs = torch.tensor([PROBS])
    assert Filters(NOTES).apply(probs) is probs


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"top_k": 1}, [0, 1, 0, 0, 0]),
        ({"top_k": 2}, [0, 4 / 7, 0, 0, 3 / 7]),
        ({"top_k": 99}, PROBS),
        ({"top_p": 0.5}, [0, 4 / 7, 0, 0, 3 / 7]),
        ({"top_p": 0.05}, [0, 1, 0, 0, 0]),
        ({"top_p": 5e-324}, [0, 1, 0, 0, 0]),
        ({"top_p": 0.99}, PROBS),
        ({"top_k": 3, "top_p": 0.5}, [0, 4 / 7, 0, 0, 3 / 7]),
        ({"top_k": 1, "top_p": 0.5}, [0, 1, 0, 0, 0]),
        ({"mask_k": 1}, [1 / 6, 0, 1 / 3, 0, 1 / 2]),
        ({"mask_k": 3}, [1 / 3, 0, 2 / 3, 0, 0]),
        ({"mask_k": 4}, PROBS),  # all there is: nothing would be left
        ({"mask_p": 0.3}, [1 / 6, 0, 1 / 3, 0, 1 / 2]),
        ({"mask_p": 0.5}, [1 / 3, 0, 2 / 3, 0, 0]),
        ({"mask_p": 0.99}, [1 / 3, 0, 2 / 3, 0, 0]),  # the last one always stays
        ({"mask_k": 1, "mask_p": 0.5}, [1 / 3, 0, 2 / 3, 0, 0]),
        ({"top_k": 3, "mask_k": 2}, [0, 0, 1, 0, 0]),
        ({"top_k": 2, "mask_k": 1}, [0, 0, 0, 0, 1]),
        ({"top_k": 1, "mask_p": 0.5}, [0, 1, 0, 0, 0]),
    ],
)
def test_filters(filters, expected):
    assert filtered(PROBS, **filters) == pytest.approx(expected)


def test_structure_is_never_dropped():
    assert filtered(PROBS, NO_NOTES, mask_k=2, mask_p=0.5) == pytest.approx(PROBS)


def test_the_masses_that_the_masks_measure_are_those_of_what_the_tops_leave():
    # of 0.4 and 0.3 the first holds 0.57
    assert filtered(PROBS, top_k=2, mask_p=0.5) == pytest.approx([0, 0, 0, 0, 1])
    assert filtered([0.4, 0.3, 0.3, 0, 0], top_k=2, mask_p=0.6) == pytest.approx([0, 1, 0, 0, 0])


def test_what_comes_in_need_not_add_up_to_one():
    assert filtered([1.0, 4.0, 2.0, 0.0, 3.0], mask_k=4) == pytest.approx(PROBS)


def test_of_equals_the_first_counts_as_the_likeliest():
    assert filtered([0.2] * 5, top_k=2) == [0.5, 0.5, 0, 0, 0]


def test_the_filters_of_a_request(vocabulary):
    config = InferenceConfig(top_k=5, top_p=0.9, mask_k=2, mask_p=0.25)

    filters = Filters.of(config, vocabulary)

    assert (filters.top_k, filters.top_p, filters.mask_k, filters.mask_p) == (5, 0.9, 2, 0.25)
    kinds = zip(vocabulary.types, filters.droppable.tolist(), strict=True)
    assert {type_ for type_, droppable in kinds if droppable} == {
        "TimeAbsolutePos",
        "NoteOnset",
        "NoteDuration",
        "VelocityLevel",
    }


@given(
    st.lists(
        st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5).filter(lambda p: sum(p) > 1e-3),
        min_size=1,
        max_size=9,
    ),
    st.integers(0, 6),
    st.floats(0.01, 1),
    st.integers(0, 6),
    st.floats(0, 0.99),
)
def test_a_row_is_filtered_alike_in_any_company(table, top_k, top_p, mask_k, mask_p):
    filters = Filters(NOTES, top_k, top_p, mask_k, mask_p)
    probs = torch.tensor(table)

    together = filters.apply(probs)

    assert torch.equal(together, torch.cat([filters.apply(row.unsqueeze(0)) for row in probs]))
    if together is not probs:
        assert together.sum(dim=1).tolist() == pytest.approx([1] * len(probs))
        assert not together[probs == 0].any()


@pytest.mark.parametrize("rows", [2, 7, 16, 64])
def test_a_row_of_a_whole_vocabulary_is_filtered_alike_in_any_company(rows):
    probs = torch.softmax(4 * torch.randn(rows, 964), dim=1)
    filters = Filters(torch.arange(964) % 2 == 0, top_k=40, top_p=0.9, mask_k=2, mask_p=0.2)

    together = filters.apply(probs)

    assert torch.equal(together, torch.cat([filters.apply(row.unsqueeze(0)) for row in probs]))


def test_any_size_of_top_k_and_mask_k_will_do(vocabulary):
    for huge in (10**30, 10**400):
        filters = Filters.of(InferenceConfig(top_k=huge, mask_k=huge - 1), vocabulary)
        probs = torch.full((1, len(vocabulary)), 1 / len(vocabulary))
        assert filters.apply(probs).sum().item() == pytest.approx(1)
