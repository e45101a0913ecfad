import pytest
from pydantic import TypeAdapter, ValidationError

from midigpt.fields import (
    BarNumber,
    Controls,
    Flag,
    Integer,
    Many,
    Members,
    Number,
    Text,
    Ticks,
    TrackType,
)


def check(kind, value):
    return TypeAdapter(kind).validate_python(value)


def refusal(kind, value):
    with pytest.raises(ValidationError) as caught:
        check(kind, value)
    [error] = caught.value.errors()
    return error["type"], error["loc"]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Integer, 10**30, 10**30),
        (Number, 4, 4.0),
        (Text, "", ""),
        (Flag, 0, False),
        (Flag, 1, True),
        (Flag, True, True),
        (Ticks, -(2**31) + 1, -(2**31) + 1),
        (TrackType, "drum", "drum"),
        (BarNumber, "12", 12),
        (BarNumber, "0", 0),
        (BarNumber, "-1", -1),
        (BarNumber, 3, 3),
        (Controls, {"x": None}, {"x": None}),
        (Controls, {"time_signature": 3}, {"time_signature": 3}),
    ],
)
def test_what_is_accepted(kind, value, expected):
    checked = check(kind, value)
    assert (checked, type(checked)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (Integer, True, "int_type"),
        (Integer, "4", "int_type"),
        (Integer, 4.0, "int_type"),
        (Number, True, "float_type"),
        (Number, "1.0", "float_type"),
        (Number, float("nan"), "finite_number"),
        (Text, 5, "string_type"),
        (Flag, 2, "bool_type"),
        (Flag, 1.0, "bool_type"),
        (Flag, "yes", "bool_type"),
        (Ticks, 2**31, "less_than_equal"),
        (TrackType, "DRUM", "choice"),
        (TrackType, None, "string_type"),
        (BarNumber, "1.5", "bar"),
        (BarNumber, " 1", "bar"),
        (BarNumber, "01", "bar"),
        (BarNumber, "-0", "bar"),
        (BarNumber, "+1", "bar"),
        (BarNumber, "\u0661", "bar"),
        (BarNumber, "", "bar"),
        (BarNumber, "9" * 5000, "bar"),
        (BarNumber, 1.5, "int_type"),
        (Controls, [], "dict_type"),
        (Controls, {"time_signature": True}, "meter"),
        (Many[Integer], {}, "list_type"),
        (Members[str, Integer], [], "dict_type"),
    ],
)
def test_what_is_not(kind, value, problem):
    assert refusal(kind, value) == (problem, ())


def test_a_list_stops_at_its_first_wrong_item():
    assert refusal(Many[Integer], [1, "x", "y"]) == ("int_type", (1,))


def test_long_lists_are_checked_like_short_ones():
    items = list(range(25_000))
    assert check(Many[Integer], items) == items
    assert refusal(Many[Integer], [*items, "x", *items, "y"]) == ("int_type", (25_000,))


def test_an_object_stops_at_its_first_wrong_member():
    assert check(Members[str, Integer], {"a": 1, "b": 2}) == {"a": 1, "b": 2}
    assert refusal(Members[str, Integer], {"a": 1, "b": "x", "c": "y"}) == ("int_type", ("b",))


def test_members_of_members():
    kind = Members[BarNumber, Members[str, Integer]]
    assert check(kind, {"1": {"a": 2}, "10": {}}) == {1: {"a": 2}, 10: {}}
    assert refusal(kind, {"1": {"a": 2, "b": None}}) == ("int_type", ("1", "b"))
