import numpy as np
import pytest

from midigpt.errors import RequestValidationError
from midigpt.inference.reading import (
    Place,
    flag,
    listed,
    mapping,
    meant,
    named,
    number,
    require,
    shown,
    whole,
    wholes,
)

HERE = Place("config.x")


def test_a_place_names_member_track_and_bar():
    bars = Place("tracks[1]", track=4).at("bars")
    assert str(Place("config").at("top_p")) == "config.top_p"
    assert str(bars.item(2)) == "tracks[1].bars[2] (track_id=4)"
    assert str(bars.on(7)) == "tracks[1].bars (track_id=4, bar 7)"


def test_a_member_that_is_no_name_is_quoted():
    assert str(Place("controls").at("a b\n")) == r'controls."a b\n"'
    assert len(str(Place("controls").at("x" * 5000))) < 60
    assert [named(name) for name in ("01", "a-b", "été", "", "a.b")] == [
        "01",
        "a-b",
        "été",
        '""',
        '"a.b"',
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        ('say "hello"', r'"say \"hello\""'),
        ("Café", '"Café"'),
        ("two\nlines", r'"two\nlines"'),
        ("\ud800", r'"\ud800"'),
        ("\u202edlrow", r'"\u202edlrow"'),
        ([1, (None,), "x"], '[1, [null], "x"]'),
        ({"a": {"b": False}}, '{"a": {"b": false}}'),
    ],
)
def test_values_are_shown_as_json_in_one_line(value, text):
    assert shown(value) == text


@pytest.mark.parametrize(
    "value", ["x" * 1000, 10**1000, [["y" * 99] * 99] * 99, {str(i): "z" * 99 for i in range(99)}]
)
def test_values_are_shown_in_80_characters(value):
    assert len(shown(value)) <= 80


def test_numbers_that_python_refuses_to_print_are_shown_too():
    assert len(shown(10**5000)) <= 80


def test_long_lists_of_names_are_cut():
    assert listed([]) == "none"
    assert listed(["a", 2]) == "a, 2"
    assert listed("abcde", limit=2) == "a, b, and 3 more"
    assert len(listed([10**4000] * 2)) < 100


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("temprature", "; did you mean temperature?"),
        ("topK", "; did you mean top_k?"),
        ("bananas", ""),
        ("", ""),
        ("temperature" * 1000, ""),
        (5, ""),
    ],
)
def test_a_name_close_to_a_known_one_gets_a_hint(name, hint):
    assert meant(name, ["temperature", "top_k", "top_p"]) == hint


def test_require_says_what_is_and_what_must_be():
    require(True, HERE, 1, "at least 1")
    with pytest.raises(RequestValidationError, match=r"^config\.x is 0; it must be at least 1$"):
        require(False, HERE, 0, "at least 1")


def test_integers():
    read = [whole(4, HERE), whole(4.0, HERE), whole(np.int64(4), HERE)]
    assert read == [4, 4, 4]
    assert {type(value) for value in read} == {int}
    assert wholes((1, 2.0, np.int32(3)), HERE) == [1, 2, 3]


@pytest.mark.parametrize("value", [4.5, "4", True, None, [], float("inf"), float("nan")])
def test_what_is_no_integer(value):
    with pytest.raises(TypeError, match=r"^config\.x is .*; it must be an integer$"):
        whole(value, HERE)
    with pytest.raises(RequestValidationError, match=r"^config\.x\[1\] is .*"):
        wholes([0, value], HERE, RequestValidationError)


@pytest.mark.parametrize("value", [4, None, "12", b"12", {1: 2}])
def test_what_is_no_list_of_integers(value):
    with pytest.raises(TypeError, match=r"^config\.x is .*; it must be a list of integers$"):
        wholes(value, HERE)


def test_numbers():
    read = [number(1, HERE), number(0.5, HERE), number(np.int64(2), HERE)]
    assert read == [1.0, 0.5, 2.0]
    assert {type(value) for value in read} == {float}


@pytest.mark.parametrize(
    "value", ["1", True, None, float("inf"), float("nan"), 10**400, -(10**400)]
)
def test_what_is_no_number(value):
    with pytest.raises(TypeError, match=r"^config\.x is .*; it must be a finite number$"):
        number(value, HERE)


def test_booleans():
    assert [flag(value, HERE) for value in (True, False, 1, 0, 1.0)] == [
        True,
        False,
        True,
        False,
        1,
    ]


@pytest.mark.parametrize("value", [2, 0.5, "true", None, []])
def test_what_is_no_boolean(value):
    with pytest.raises(TypeError, match=r"^config\.x is .*; it must be true or false$"):
        flag(value, HERE)


def test_objects_are_copied():
    source = {"a": 1}
    copy = mapping(source, HERE)
    assert copy == source
    assert copy is not source
    with pytest.raises(TypeError, match=r"^config\.x is \[\]; it must be an object$"):
        mapping([], HERE)
