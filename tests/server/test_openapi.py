import copy
import json

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from midigpt.errors import RequestValidationError
from midigpt.inference.controls import PitchMask, Remix, RhythmMask
from midigpt.server import guard, service
from midigpt.server.errors import ERROR_CODES, ApiError
from midigpt.server.openapi import document
from midigpt.server.openapi.examples import ERRORS, FRAMES, OUTPUTS, REQUESTS
from midigpt.server.parse import parse
from midigpt.server.results import GenerateOutput
from midigpt.server.routes import routes

NOTE = {"pitch": 60, "velocity": 90, "onset_ticks": 0, "duration_ticks": 480}
BODY = {
    "score": {"tracks": [{"bars": [{"notes": [NOTE]}, {}, {}, {}]}]},
    "request": {"tracks": [{"id": 0, "bars": [1]}]},
}


def fits(name, value):
    """Whether a value is what a schema of the document describes."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document()["components"]}
    return OAS31Validator(schema).is_valid(value)


def changed(path, value):
    """The body with one member set: ``path`` leads to it."""
    body = copy.deepcopy(BODY)
    place = body
    for part in path[:-1]:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    place[path[-1]] = value
    return body


def is_accepted(check, *sent):
    try:
        check(*sent)
    except (ApiError, RequestValidationError):
        return False
    return True


def test_it_is_a_valid_document_in_strict_json():
    validate(json.loads(json.dumps(document(), allow_nan=False)))


def test_every_address_of_the_service_is_there():
    mounted = {route.path for route in routes.routes}
    methods = {api.route for api in service.service.apis.values()}
    own = {"/livez", "/healthz", "/readyz", "/schema.json"}
    assert set(document()["paths"]) == mounted | methods | own


def test_what_is_read_is_read_without_content_as_well():
    for operations in document()["paths"].values():
        assert set(operations) in ({"get", "head"}, {"post"})
        if "head" in operations:
            assert set(operations["head"]["responses"]) == set(operations["get"]["responses"])
            assert not any("content" in one for one in operations["head"]["responses"].values())


def test_what_needs_no_key_says_so():
    for path, operations in document()["paths"].items():
        for operation in operations.values():
            is_open = path in guard._OPEN
            assert ("401" not in operation["responses"]) == is_open
            assert (operation.get("security") == []) == is_open


def test_programs_can_name_every_operation():
    names = [
        operation["operationId"]
        for operations in document()["paths"].values()
        for operation in operations.values()
    ]
    assert len(set(names)) == len(names)


def test_all_that_generate_may_answer():
    responses = document()["paths"]["/generate"]["post"]["responses"]
    statuses = {200, 400, 401, 403, 405, 408, 409, 413, 415, 422, 500, 503}
    assert {int(status) for status in responses} == statuses
    assert set(responses["200"]["content"]) == {"application/json", "text/event-stream"}
    assert responses["503"] == {"$ref": "#/components/responses/Error503"}
    busy = document()["components"]["responses"]["Error503"]
    assert set(busy["headers"]) == {"X-Request-Id", "Retry-After"}


def test_members_are_described_with_types_ranges_and_defaults():
    schemas = document()["components"]["schemas"]
    assert schemas["Note-Input"]["properties"]["pitch"] == {
        "description": "MIDI pitch",
        "maximum": 127,
        "minimum": 0,
        "type": "integer",
    }
    assert schemas["Note-Input"]["additionalProperties"] is False
    assert set(schemas["TrackPrompt"]["required"]) == {"id", "bars"}
    assert schemas["TrackPrompt"]["properties"]["mask_bars"]["default"] == []
    assert schemas["InferenceConfig"]["properties"]["top_p"] == {
        "default": 1.0,
        "description": "sample from the likeliest tokens of this mass",
        "exclusiveMinimum": 0,
        "maximum": 1,
        "type": "number",
    }
    assert set(schemas["Problem"]["properties"]["code"]["enum"]) == set(ERROR_CODES)


def test_what_is_only_for_python_is_left_out():
    schemas = document()["components"]["schemas"]
    for form in ("Input", "Output"):
        assert "beat_length" not in schemas[f"Bar-{form}"]["properties"]
        assert "attributes" not in schemas[f"Track-{form}"]["properties"]
        assert "beat_length" not in schemas[f"Bar-{form}"]["description"]


def test_each_kind_of_answer_has_a_schema_of_its_own():
    schemas = document()["components"]["schemas"]
    kinds = [kind["$ref"].rpartition("/")[2] for kind in schemas["GenerateOutput"]["oneOf"]]
    assert kinds == ["Result", "Candidates", "Plan"]
    members = set().union(*(schemas[kind]["properties"] for kind in kinds))
    assert members == set(GenerateOutput.model_fields)


@pytest.mark.parametrize("example", REQUESTS.values(), ids=REQUESTS)
def test_the_examples_of_requests_are_accepted(example):
    body = example["value"]
    assert fits("GenerateInput", body)
    assert parse(json.dumps(body).encode())[1] == []


@pytest.mark.parametrize("example", OUTPUTS.values(), ids=OUTPUTS)
def test_the_examples_of_answers_are_of_one_kind(example):
    assert [fits(kind, example["value"]) for kind in ("Result", "Candidates", "Plan")].count(
        True
    ) == 1
    assert fits("GenerateOutput", example["value"])


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame["type"])
def test_the_examples_of_frames_are_frames(frame):
    assert fits("Frame", frame)


def test_the_example_of_a_stream_is_made_of_them():
    content = document()["paths"]["/generate"]["post"]["responses"]["200"]["content"]
    *frames, rest = content["text/event-stream"]["example"].split("\n\n")
    assert rest == ""
    assert [json.loads(frame.removeprefix("data: ")) for frame in frames] == FRAMES


def test_every_error_that_clients_see_has_an_example():
    assert set(ERRORS) == set(ERROR_CODES) - {"client_gone"}
    for name, response in document()["components"]["responses"].items():
        for code, example in response["content"]["application/json"]["examples"].items():
            assert ERROR_CODES[code].startswith(name.removeprefix("Error"))
            assert example["value"]["code"] == code
            assert fits("Problem", example["value"])


@pytest.mark.parametrize(
    ("path", "value", "is_valid"),
    [
        (["score", "tempo"], 4.0, True),
        (["score", "tempo"], 4.5, False),
        (["score", "tempo"], "4", False),
        (["score", "tempo"], True, False),
        (["score", "tempo"], 0, False),
        (["score", "artist"], "x", True),
        (["score", "tracks", 0, "track_type"], "drums", False),
        (["score", "tracks", 0, "bars", 0, "future"], 1, True),
        (["score", "tracks", 0, "bars", 0, "future"], 0.0, True),
        (["score", "tracks", 0, "bars", 0, "future"], 2, False),
        (["score", "tracks", 0, "bars", 0, "future"], None, False),
        (["score", "tracks", 0, "bars", 0, "notes"], [{**NOTE, "x": 1}], False),
        (["score", "tracks", 0, "bars", 0, "notes"], [{**NOTE, "delta": 0}], True),
        (["score", "tracks", 0, "bars", 0, "notes"], [{"pitch": 60}], False),
        (["request_id"], "mine", True),
        (["request_id"], "", True),
        (["request_id"], None, True),
        (["request_id"], "..", False),
        (["request_id"], "a b", False),
        (["request_id"], "x" * 129, False),
        (["stream"], 0, True),
        (["stream"], "no", False),
        (["model"], None, True),
        (["model"], 5, False),
        (["request", "config"], None, False),
        (["request", "config", "temprature"], 5, True),
        (["request", "config", "temperature"], 1, True),
        (["request", "config", "temperature"], 0, False),
        (["request", "config", "temperature"], None, False),
        (["request", "config", "model_dim"], "auto", True),
        (["request", "config", "model_dim"], "all", False),
        (["request", "config", "seed"], None, True),
        (["request", "config", "seed"], 2**63, False),
        (["request", "tracks", 0, "attributes"], {"note_density": 3.0}, True),
        (["request", "tracks", 0, "attributes"], {"note_density": "high"}, False),
        (["request", "tracks", 0, "bar_attributes"], {"1": {"x": 3}}, True),
        (["request", "tracks", 0, "bar_attributes"], {"01": {"x": 3}}, False),
        (["request", "tracks", 0, "bar_controls"], {"one": {}}, False),
        (["request", "tracks", 0, "controls"], {"time_signature": True}, False),
    ],
)
def test_the_schema_and_the_server_agree_on_types_and_ranges(path, value, is_valid):
    body = changed(path, value)
    assert is_accepted(parse, json.dumps(body).encode()) == is_valid
    assert fits("GenerateInput", body) == is_valid


@pytest.mark.parametrize(
    ("name", "value", "is_valid"),
    [
        ("pitch_mask", {}, True),
        ("pitch_mask", {"pitches": [60.0, 64]}, True),
        ("pitch_mask", {"pitches": []}, False),
        ("pitch_mask", {"pitches": [128]}, False),
        ("pitch_mask", {"scale": "major", "root": -1}, True),
        ("pitch_mask", {"scale": "Major"}, False),
        ("pitch_mask", {"scale": "major", "pitch_classes": [0]}, False),
        ("pitch_mask", {"pitch_classes": [14]}, True),
        ("pitch_mask", {"shape": {"type": "uniform", "min": 40.5}}, True),
        ("pitch_mask", {"shape": {"type": "uniform", "min": "40"}}, False),
        ("pitch_mask", {"shape": {"type": "uniform", "std": 0}}, True),
        ("pitch_mask", {"shape": {"type": "normal", "std": 0}}, False),
        ("pitch_mask", {"shape": {}}, False),
        ("pitch_mask", {"shape": {"type": "normal", "sd": 1}}, False),
        ("pitch_mask", {"pitch": [60]}, False),
        ("pitch_mask", None, False),
        ("rhythm_mask", {}, False),
        ("rhythm_mask", {"positions": [{"pos": 0}, {"pos": 6, "polyphony": 2}]}, True),
        ("rhythm_mask", {"positions": [{"pos": 6}]}, False),
        ("rhythm_mask", {"positions": [0]}, False),
        ("rhythm_mask", {"positions": []}, False),
        ("rhythm_mask", {"positions": [{"pos": 0, "polyphony": 0}]}, False),
        ("rhythm_mask", {"grid": {"unit": "eighth", "strength": 0.5}}, True),
        ("rhythm_mask", {"grid": {"strength": 0.5}}, False),
        ("rhythm_mask", {"grid": {"unit": "eighth"}, "positions": [{"pos": 0}]}, False),
        ("remix", {"amount": 1}, True),
        ("remix", {"amount": 0}, False),
        ("remix", {"mode": "full"}, False),
        ("remix", {"amount": 0.5, "mode": "both"}, False),
    ],
)
def test_the_schemas_and_the_checks_of_controls_agree(name, value, is_valid):
    check = {"pitch_mask": PitchMask, "rhythm_mask": RhythmMask, "remix": Remix}[name].parse
    assert is_accepted(check, value) == is_valid
    assert fits("TrackControls", {name: value}) == is_valid
    assert fits("GenerateInput", changed(["request", "tracks", 0, "controls"], {name: value})) == (
        is_valid
    )


def test_controls_that_do_not_exist_are_refused_at_every_level():
    assert not fits("TrackControls", {"velocity": True})
    assert not fits("BarControls", {"pitch_mask": {}})
    assert not fits("PieceControls", {"velocity": 1})
    assert fits("PieceControls", {"velocity": True, "genre": "jazz"})
