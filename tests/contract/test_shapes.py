"""The shapes of answers are those that clients know: members may be added, none may be missing."""

import pytest

from tests.contract.shapes import SHAPES, mismatches, shape
from tests.contract.vectors import needs_vectors
from tests.e2e.asking import configured, short

pytestmark = needs_vectors
CONFIGS = {
    "single": {},
    "candidates": {"num_candidates": 2},
    "planned": {"plan_only": True},
}


@pytest.mark.e2e
@pytest.mark.parametrize("kind", CONFIGS)
def test_an_answer_has_its_shape(kind, client):
    answer = client.post("/generate", json=configured(short(), **CONFIGS[kind]))
    assert mismatches(answer.json(), shape(CONFIGS[kind])) == []
    assert shape(CONFIGS[kind]).keys() == SHAPES[kind].keys()


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/nowhere", None),
        ("DELETE", "/health", None),
        ("POST", "/generate", {}),
        ("POST", "/generate", configured(short(), top_p=2)),
        ("POST", "/generate/nobody/cancel", None),
    ],
)
def test_an_error_has_its_shape(method, path, body, client):
    answer = client.request(method, path, json=body)
    assert answer.is_client_error
    assert mismatches(answer.json(), SHAPES["error_string"]) == []


def test_every_kind_of_answer_is_looked_at():
    # errors are never told as lists
    assert SHAPES.keys() == {*CONFIGS, "error_string", "error_list"}


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"seed": 1, "bars": {"0": [1]}, "notes": [{"a": 1}]}, None),
        ({"seed": 1, "bars": {"7": []}, "notes": [{"b": 1.5}, {"a": 1, "c": None}]}, None),
        ({"seed": True, "bars": {}, "notes": []}, "answer.seed"),
        ({"seed": 1, "bars": {"x": [1]}, "notes": []}, "answer.bars"),
        ({"seed": 1, "bars": {"0": ["1"]}, "notes": []}, "answer.bars.0[0]"),
        ({"seed": 1, "bars": {}, "notes": [{"c": 1}]}, "answer.notes[0]"),
        ({"bars": {}, "notes": []}, "answer has no seed"),
    ],
)
def test_a_difference_is_found(value, place):
    expected = {
        "seed": "int",
        "bars": {"<index>": ["int"]},
        "notes": [{"a": "int"}, {"b": "float"}],
    }
    found = mismatches(value, expected)
    assert found == [] if place is None else found[0].startswith(place)
