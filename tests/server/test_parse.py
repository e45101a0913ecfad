import copy
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midigpt import Bar, Note, Score, Track
from midigpt.inference.request import GenerationRequest, InferenceConfig, TrackPrompt
from midigpt.server.errors import ApiError
from midigpt.server.parse import DEEPEST, load_json, parse

NOTE = {"pitch": 60, "velocity": 90, "onset_ticks": 0, "duration_ticks": 480}
NOTE_AT = "score.tracks[0].bars[0].notes[0]"
NOTE_HAS = "a note has pitch, velocity, onset_ticks, duration_ticks, delta"
BODY = {
    "score": {"tracks": [{"bars": [{"notes": [NOTE]}, {}]}]},
    "request": {"tracks": [{"id": 0, "bars": [1]}]},
}


def changed(path, value):
    """The body with one member set: ``path`` leads to it."""
    body = copy.deepcopy(BODY)
    place = body
    for part in path[:-1]:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    place[path[-1]] = value
    return body


def refusal(body):
    with pytest.raises(ApiError) as caught:
        parse(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


def test_a_body_becomes_records():
    body, ignored = parse(json.dumps(BODY).encode())
    assert body.score == Score([Track([Bar([Note(60, 90, 0, 480)]), Bar()])])
    assert body.request == GenerationRequest([TrackPrompt(0, [1])], InferenceConfig())
    assert (body.stream, body.model, ignored) == (False, None, [])


@pytest.mark.parametrize("given_id", [None, ""])
def test_a_request_without_id_gets_one(given_id):
    first, _ = parse(json.dumps({**BODY, "request_id": given_id}).encode())
    second, _ = parse(json.dumps(BODY).encode())
    assert len(first.request_id) == len(second.request_id) == 32
    assert first.request_id != second.request_id


def test_numbers_without_a_fraction_are_integers_and_0_and_1_are_booleans():
    sent = (
        json.dumps(BODY).replace("60", "60.0").replace('"bars": [1]', '"bars": [1.0], "ignore": 1')
    )
    body, _ = parse(sent.encode())
    assert body.score.tracks[0].bars[0].notes[0].pitch == 60
    assert body.request.tracks[0] == TrackPrompt(0, [1], ignore=True)


def test_keys_of_bars_are_numbers():
    body, _ = parse(
        json.dumps(changed(["request", "tracks", 0, "bar_attributes"], {"1": {"x": 2}})).encode()
    )
    assert body.request.tracks[0].bar_attributes == {1: {"x": 2}}


def test_ignored_members_are_named():
    body, warnings = parse(json.dumps({**BODY, "modle": "x"}).encode())
    assert body.model is None
    assert warnings == ["'modle' is not known and was ignored; did you mean model?"]


@pytest.mark.parametrize(
    ("path", "value", "status", "detail"),
    [
        (["score"], None, 400, "score must be an object, got null"),
        (["score", "tracks"], {}, 400, "score.tracks must be a list, got an object"),
        (
            ["score", "tempo"],
            0.5,
            400,
            "score.tempo must be an integer, got a number with a fraction",
        ),
        (["score", "tempo"], 0, 422, "score.tempo must be at least 1, got 0"),
        (
            ["score", "tracks", 0, "track_type"],
            "drums",
            422,
            'score.tracks[0].track_type must be "melodic" or "drum"',
        ),
        (
            ["score", "tracks", 0, "bars", 1, "future"],
            "yes",
            400,
            "score.tracks[0].bars[1].future must be true or false, got a string",
        ),
        (
            ["score", "tracks", 0, "bars", 0, "notes", 0, "pitch"],
            128,
            422,
            "score.tracks[0].bars[0].notes[0].pitch must be at most 127, got 128",
        ),
        (
            ["score", "tracks", 0, "bars", 0, "notes", 0, "channel"],
            1,
            400,
            f"score.tracks[0].bars[0].notes[0].channel is no member of a note; {NOTE_HAS}",
        ),
        (
            ["score", "tracks", 0, "bars", 0, "notes", 0, "velo city"],
            1,
            400,
            f'{NOTE_AT}."velo city" is no member of a note; {NOTE_HAS}; did you mean velocity?',
        ),
        (
            ["request", "tracks"],
            [{"id": 0}],
            400,
            "request.tracks[0] has no bars; [] stands for none",
        ),
        (["request", "tracks"], [{"bars": []}], 400, "request.tracks[0].id is missing"),
        (
            ["request", "config", "model_dim"],
            "big",
            400,
            'request.config.model_dim must be an integer or "auto", got a string',
        ),
        (
            ["request", "config", "bars_per_step"],
            -1,
            422,
            "request.config.bars_per_step must be at least 0, got -1",
        ),
        (
            ["request", "config", "temperature"],
            True,
            400,
            "request.config.temperature must be a finite number, got true",
        ),
        (
            ["request", "tracks", 0, "bar_attributes"],
            {"one": {}},
            400,
            'request.tracks[0].bar_attributes.one must be the number of a bar, such as "0" or "12"',
        ),
        (
            ["request", "tracks", 0, "controls"],
            {"time_signature": "4/4"},
            400,
            "request.tracks[0].controls has a time_signature that is not an integer",
        ),
        (["model"], 5, 400, "model must be a string, got a number"),
        (["request_id"], 5, 400, "request_id must be a string, got a number"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_interface(path, value, status, detail):
    error = refusal(changed(path, value))
    assert (error.status, error.detail) == (status, detail)
    assert error.code == ("malformed" if status == 400 else "invalid_request")
    assert detail.startswith(error.path)


def test_a_wrong_type_comes_before_an_impossible_value():
    body = changed(["score", "tempo"], 0)
    body["request"]["config"] = {"seed": "x"}
    assert refusal(body).path == "request.config.seed"


def test_an_error_carries_the_id_if_that_is_in_order():
    assert refusal({"request_id": "mine", **BODY, "score": 1}).request_id == "mine"
    assert refusal({"request_id": "not mine", **BODY}).request_id is None


@pytest.mark.parametrize("bad", [".", "..", "a b", "a/b", "a\n", "é", "x" * 129])
def test_ids_fit_into_headers_and_paths(bad):
    assert refusal({**BODY, "request_id": bad}).detail.startswith("request_id must be 1 to 128")


@pytest.mark.parametrize("good", ["x", "x" * 128, "a.b_c:d~e-f", "..."])
def test_good_ids_stay(good):
    body, _ = parse(json.dumps({**BODY, "request_id": good}).encode())
    assert body.request_id == good


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        (b"", "the body is not JSON from line 1, column 1 on"),
        (b"{} x", "the body is not JSON from line 1, column 4 on"),
        (b"\xff", "the body is not UTF-8 at byte 0"),
        (b"[NaN]", "the body holds NaN, which is not JSON"),
        (b"[-Infinity]", "the body holds -Infinity, which is not JSON"),
        (b"[1e999]", "the body holds 1e999, a number too large for JSON readers"),
        (b"9" * 5000, "the body holds a number of 5000 digits"),
        (b"[" * 100_000, "the body is nested too deep"),
        (b"[]", "the body must be an object, got a list"),
        (b"null", "the body must be an object, got null"),
    ],
)
def test_only_strict_json_is_read(sent, detail):
    error = refusal(sent)
    assert (error.status, error.code, error.detail) == (400, "malformed", detail)


def test_nesting_is_limited():
    nested = value = {}
    for _ in range(DEEPEST - 2):  # above it are the request and its controls
        value["x"] = value = {}
    assert parse(json.dumps(changed(["request", "controls"], nested)).encode())
    value["x"] = {}
    assert "nested deeper" in refusal(changed(["request", "controls"], nested)).detail


@pytest.mark.parametrize(
    ("path", "value", "detail"),
    [
        (["score", "tracks"], [{}] * 257, "score.tracks has 257 tracks; it must have at most 256"),
        (
            ["score", "tracks"],
            [{"bars": [{}] * 40_000}] * 2,
            "score has 80000 bars in all tracks; it must have at most 65536",
        ),
        (
            ["score", "tracks", 0, "bars", 1, "notes"],
            [5] * 70_000,
            "score.tracks[0].bars[1].notes has 70000 notes; it must have at most 65536",
        ),
        (["request", "tracks"], [5] * 300, "request.tracks has 300 prompts; it must have at most"),
        (
            ["request", "tracks", 0, "controls"],
            {"rhythm_mask": {"positions": [0] * 70_000}},
            "request.tracks[0].controls.rhythm_mask.positions has 70000 items; it must have at",
        ),
        (
            ["request", "tracks", 0, "attributes"],
            {str(i): 0 for i in range(70_000)},
            "request.tracks[0].attributes has 70000 items; it must have at most 65536",
        ),
        (
            ["request", "controls"],
            {"x": [[0] * 60_000] * 20},
            "request has more than 1048576 items in all lists and objects",
        ),
    ],
)
def test_what_is_larger_than_any_music_is_refused_before_it_is_checked(path, value, detail):
    error = refusal(changed(path, value))
    assert (error.status, error.code) == (422, "invalid_request")
    assert error.detail.startswith(detail)


@pytest.mark.parametrize(
    "unit", ["{}", "[]", "0", '""', "null", '{"a": 0}', '{"a": null}', '{"a": [[[""]]]}']
)
def test_bodies_of_millions_of_values_are_not_even_read(unit):
    million = ",".join([unit] * 1_600_000)
    error = refusal(f'{{"x": [{million}, {million}'.encode())
    assert (error.status, error.code) == (413, "too_large")


def test_long_names_are_cut():
    error = refusal(changed(["request", "tracks", 0, "attributes"], {"x" * 10_000: "high"}))
    assert error.path == f'request.tracks[0].attributes."{"x" * 36}...'


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(json_values)
def test_json_is_read_as_the_standard_library_reads_it(value):
    assert load_json(json.dumps(value).encode()) == value


PLACES = [
    ["score"],
    ["request"],
    ["stream"],
    ["score", "tracks"],
    ["score", "tracks", 0],
    ["score", "tracks", 0, "bars"],
    ["score", "tracks", 0, "bars", 0],
    ["score", "tracks", 0, "bars", 0, "notes", 0],
    ["request", "tracks"],
    ["request", "tracks", 0],
    ["request", "tracks", 0, "bar_attributes"],
    ["request", "config"],
    ["request", "config", "model_dim"],
    ["request", "controls"],
]


@given(st.sampled_from(PLACES), json_values)
def test_whatever_is_sent_is_read_or_refused(path, value):
    sent = json.dumps(changed(path, value)).encode()
    with suppress(ApiError):
        parse(sent)
        return
    error = refusal(sent)
    assert error.status in {400, 422}
    assert len(error.detail) < 500
    assert json.loads(error.response().body)["detail"]
