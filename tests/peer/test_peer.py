"""The comparison with the reference, and that it would notice a difference."""

import copy
import json
import os

import pytest

from tests.contract.vectors import needs_vectors
from tests.peer import compare, ours
from tests.peer.draw import KINDS, draw_cases
from tests.peer.judge import judge

pytestmark = needs_vectors


@pytest.mark.peer
@pytest.mark.timeout(900)
@pytest.mark.skipif(not compare.REFERENCE.exists(), reason="make peer installs the reference")
def test_no_unknown_difference(capsys):
    status = compare.main(["--seed", os.environ.get("SEED", "1")])

    assert status == 0, capsys.readouterr().out


def spoil_first_number(answer):
    """Raise the first number that is found; whether there was one."""
    items = answer.items() if isinstance(answer, dict) else enumerate(answer)
    for key, value in items:
        if type(value) in (int, float):
            answer[key] = value + 1
            return True
        if isinstance(value, dict | list) and spoil_first_number(value):
            return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_notices_a_difference(kind):
    (case,) = draw_cases(1, f"{kind}-3")
    answer = json.loads(json.dumps(ours.answer(case)))
    other = copy.deepcopy(answer)
    assert spoil_first_number(other)

    assert not judge(case, answer, answer).failures
    assert judge(case, answer, other).failures


def test_a_case_can_be_drawn_again():
    (case,) = draw_cases(1, "generate-5")

    assert [case] == list(draw_cases(1, "generate-5"))
    assert [case] != list(draw_cases(2, "generate-5"))
