"""Drawing on the device; the same code draws on any."""

import numpy as np
import pytest
import torch

from midigpt.model import sampling
from midigpt.model.pilot import STRIDE, Chart, Course, Pilot, free_course
from midigpt.model.sampling import Limits

ALL, NONE = torch.ones(6, dtype=torch.bool), torch.zeros(6, dtype=torch.bool)
OFF = Limits(float("inf"), float("inf"), 0, 0.0)
CPU = torch.device("cpu")


CHART = Chart(
    moves=np.array([[0, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1]]),
    allowed=np.array([[True] * 6, [True, False, True, True, True, True]]),
    windowed=np.array([False, True]),
    windows=np.array([[-1, -1, 0, 1, 2, 3], [0, -1, 1, 2, 3, 4], [4, -1, -1, -1, -1, -1]]),
)
"""Tokens 0 and 1 lead to states of those numbers; 2 to 5 are positions 0 to 3."""


def course(**changes):
    plain = Course(CHART, 0, (0, 4), ALL, None, 1.0, OFF, NONE, [0.5] * (STRIDE - 1))
    return plain._replace(**changes)


def drawn(*courses, logits=None, steps=1):
    """What is drawn for each of these rows, step by step."""
    pilot = Pilot(len(courses), CHART, CPU)
    pilot.set(dict(enumerate(courses)))
    logits = torch.zeros(len(courses), 6) if logits is None else logits
    return [pilot.choose(logits).tolist() for _ in range(steps)]


def test_the_number_decides():
    rows = [course(numbers=[number]) for number in (0.0, 0.2, 0.5, 0.99)]
    assert drawn(*rows) == [[0, 1, 3, 5]]


def test_every_step_has_its_number():
    assert drawn(course(numbers=[0.2, 0.99, 0.5]), steps=3) == [[1], [5], [0]]


def test_the_chart_decides_what_may_come():
    """After token 1 no other 1, and positions only upwards."""
    likely = torch.tensor([[0.0, 9.0, 8.0, 7.0, 6.0, 5.0]])
    one = course(limits=OFF._replace(top_k=1))
    assert drawn(one, logits=likely, steps=7) == [[1], [2], [3], [4], [5], [0], [1]]


@pytest.mark.parametrize(
    ("changes", "token"),
    [
        ({"window": (2, 4), "state": 1}, 4),
        ({"window": (0, 1), "state": 1}, 2),
        ({"window": (2, 4)}, 3),  # not where the state has no window
        ({"allowed": torch.tensor([1, 0, 0, 0, 0, 1]).bool()}, 5),
        ({"weights": torch.tensor([0.0, 0, 1, 0, 0, 0])}, 2),
        ({"temperature": 1e-30}, 3),
        ({"limits": OFF._replace(mask_k=1), "droppable": ALL}, 4),
        ({"limits": OFF._replace(mask_k=1), "droppable": NONE}, 3),
        ({"limits": OFF._replace(mask_p=0.9), "droppable": ALL}, 2),
        ({"limits": OFF._replace(top_p=0.1)}, 3),
    ],
)
def test_so_does_the_request(changes, token):
    logits = torch.tensor([[0.0, 0.1, 2.0, 6.0, 4.0, 1.0]])
    (row,) = drawn(course(**{"limits": OFF._replace(top_k=1)} | changes), logits=logits)
    assert row == [token]


def test_rows_do_not_see_each_other():
    rows = [
        course(numbers=[0.9, 0.1], temperature=0.3),
        course(state=1, window=(1, 3), limits=OFF._replace(top_k=2)),
        course(weights=torch.arange(6.0)),
    ]
    logits = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    together = drawn(*rows, logits=logits, steps=3)
    alone = [drawn(row, logits=line[None], steps=3) for row, line in zip(rows, logits, strict=True)]
    assert together == [
        list(step) for step in zip(*([t for (t,) in a] for a in alone), strict=True)
    ]


def test_it_draws_as_the_engine_does():
    generator = torch.Generator().manual_seed(3)
    for number in torch.rand(50, generator=generator).tolist():
        logits = 2 * torch.randn(1, 6, generator=generator)
        limits = Limits(4, 0.8, 1, 0.1)
        own = drawn(course(numbers=[number], temperature=0.7, limits=limits), logits=logits)
        probs = sampling.probabilities(logits, ALL[None], torch.tensor([[0.7]]))
        assert own == [sampling.draw(sampling.cut(probs, NONE, limits), [number])]


def test_it_keeps_a_log():
    pilot = Pilot(2, CHART, CPU)
    pilot.set({1: course(numbers=[0.2, 0.99])})
    logits = torch.randn(2, 6)
    tokens = [pilot.choose(logits + step) for step in range(2)]
    assert torch.equal(pilot.log[0, :, :6], logits)
    assert torch.equal(pilot.log[1, :, :6], logits + 1)
    assert torch.equal(pilot.log[:2, :, 6], torch.stack(tokens))


def test_where_nothing_may_come_something_is_drawn():
    ((token,),) = drawn(course(allowed=NONE))
    assert token in range(6)


def test_each_row_has_the_chart_it_was_shown_last():
    pilot = Pilot(1, CHART, CPU)
    for banned in (1, 0):
        allowed = CHART.allowed.copy()
        allowed[:, banned] = False
        pilot.set({0: course(chart=CHART._replace(allowed=allowed), numbers=[0.0])})
        assert pilot.choose(torch.zeros(1, 6)).tolist() == [1 - banned]


def test_a_free_course():
    free = free_course(3, [0.1, 0.5, 0.9])
    pilot = Pilot(1, free.chart, CPU)
    pilot.set({0: free})
    assert [pilot.choose(torch.zeros(1, 3)).tolist() for _ in range(3)] == [[0], [1], [2]]
