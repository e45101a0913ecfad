import json

import pytest

from midigpt.server.suggest import take_unknown

BODY = {
    "score": {"tracks": [{"bars": [{"notes": []}, {}]}]},
    "request": {"tracks": [{"id": 0, "bars": [1]}], "config": {"seed": 7}},
}


def unknown(**members):
    return {**json.loads(json.dumps(BODY)), **members}


def test_what_is_known_stays():
    body = unknown(model="x", request_id="y", stream=False)
    before = json.dumps(body)
    assert take_unknown(body) == []
    assert json.dumps(body) == before


def test_what_is_unknown_is_taken_out_and_named_by_its_place():
    body = unknown(z=1)
    body["score"]["y"] = body["score"]["tracks"][0]["attributes"] = 1
    body["score"]["tracks"][0]["bars"][1]["beat_length"] = 1
    body["request"]["a b"] = body["request"]["tracks"][0]["name"] = 1
    body["request"]["config"]["x"] = 1
    assert [warning.split("'")[1] for warning in take_unknown(body)] == [
        "z",
        "score.y",
        "score.tracks[0].attributes",
        "score.tracks[0].bars[1].beat_length",
        'request."a b"',
        "request.tracks[0].name",
        "request.config.x",
    ]
    assert body == BODY


@pytest.mark.parametrize(
    ("place", "name", "meant"),
    [
        (["request", "config"], "temprature", "temperature"),
        (["request", "config"], "maxAttempts", "max_attempts"),
        (["score", "tracks", 0], "trackType", "track_type"),
        (["score", "tracks", 0, "bars", 0], "note", "notes"),
        (["request", "tracks", 0], "maskbars", "mask_bars"),
        (["request"], "temperature", "request.config.temperature"),
        ([], "seed", "request.config.seed"),
        ([], "Stream", "stream"),
    ],
)
def test_a_name_close_to_a_known_one_is_a_likely_mistake(place, name, meant):
    body = unknown()
    target = body
    for part in place:
        target = target[part]
    target[name] = 1
    [warning] = take_unknown(body)
    assert warning.endswith(f"{name}' is not known and was ignored; did you mean {meant}?")


def test_only_the_first_of_many_are_named():
    body = unknown(**{f"x{i}": 0 for i in range(1000)})
    warnings = take_unknown(body)
    assert len(warnings) == 21
    assert warnings[0] == "'x0' is not known and was ignored"
    assert warnings[-1] == "980 more members were ignored"
    assert body == BODY


def test_long_names_are_cut():
    [warning] = take_unknown(unknown(**{"x" * 10_000: 1}))
    assert len(warning) < 80


@pytest.mark.parametrize("value", [None, 5, "x", [1], {"tracks": {}}, {"tracks": [5, {"bars": 5}]}])
def test_other_types_are_left_for_the_check_of_types(value):
    body = {"score": value, "request": value}
    assert take_unknown(body) == []
    assert body == {"score": value, "request": value}
