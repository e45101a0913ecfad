import pytest
from pydantic import ValidationError

from midigpt.server.problems import from_validation, kind
from midigpt.server.schemas import GenerateInput

NOTE = {"pitch": 60, "velocity": 90, "onset_ticks": 0, "duration_ticks": 480}


def problem(request=None, **note):
    body = {
        "score": {"tracks": [{"bars": [{"notes": [{**NOTE, **note}]}]}]},
        "request": {"tracks": [{"id": 0, "bars": [0]}]} if request is None else request,
    }
    with pytest.raises(ValidationError) as caught:
        GenerateInput.model_validate(body)
    return from_validation(caught.value, body)


def test_a_wrong_type_is_malformed_and_named_by_kind():
    error = problem(pitch="60")
    assert (error.status, error.path) == (400, "score.tracks[0].bars[0].notes[0].pitch")
    assert error.detail == f"{error.path} must be an integer, got a string"


def test_an_impossible_value_is_invalid_and_shown():
    error = problem(onset_ticks=2**31)
    assert (error.status, error.path) == (422, "score.tracks[0].bars[0].notes[0].onset_ticks")
    assert error.detail == f"{error.path} must be at most 2147483647, got 2147483648"


def test_long_values_are_cut():
    assert len(problem(pitch=10**4000).detail) < 200


def test_the_first_wrong_type_comes_before_impossible_values():
    assert problem({"tracks": [], "config": {"seed": None, "top_k": "5"}}, pitch=-1).path == (
        "request.config.top_k"
    )


def test_alternatives_are_one_complaint():
    error = problem({"tracks": [], "config": {"model_dim": []}})
    assert error.detail == 'request.config.model_dim must be an integer or "auto", got a list'


def test_a_key_that_is_no_bar_is_the_complaint_whatever_it_holds():
    prompt = {"id": 0, "bars": [0], "bar_attributes": {"00": 5}}
    error = problem({"tracks": [prompt]})
    assert error.status == 400
    assert error.detail == (
        'request.tracks[0].bar_attributes.00 must be the number of a bar, such as "0" or "12"'
    )


def test_a_missing_member_is_named():
    assert problem({}).detail == "request.tracks is missing"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "true"),
        (0, "a number"),
        (0.5, "a number with a fraction"),
        ("", "a string"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_kinds_are_those_of_json(value, name):
    assert kind(value) == name
