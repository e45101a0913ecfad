"""The recorded requests, each sent to a real server over a socket.

``expected_status`` may be a list, of which any will do.
"""

import base64
import json
import re
from contextlib import ExitStack

import httpx
import pytest
import yaml

from midigpt.server.names import is_name
from tests.contract.shapes import mismatches, shape
from tests.contract.vectors import load, needs_vectors
from tests.e2e.asking import frames
from tests.e2e.checkpoints import untrained
from tests.e2e.servers import served

pytestmark = [needs_vectors, pytest.mark.e2e]

FILES = (
    "meta",
    "transport",
    "envelope",
    "score",
    "track_prompts",
    "config",
    "controls",
    "success",
)
CASES = [
    pytest.param(case, id=f"{file}-{case['name']}")
    for file in FILES
    for case in load(f"http/{file}.json").get("cases", [])
]
SEVERAL = ("yellow", "prism", "expressive")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """A client for each server that cases name; started when first asked for."""
    home, clients = tmp_path_factory.mktemp("http"), {}
    with ExitStack() as stack:

        def client(name):
            if name not in clients:
                flags = several(home) if name == "multi" else ["--ckpt", checkpoint(home, name)]
                server = stack.enter_context(served(home / name, *map(str, flags)))
                clients[name] = stack.enter_context(server.client())
            return clients[name]

        yield client


def several(home):
    """The flags of a server with three models, of which the first is the default."""
    models = [{"id": name, "ckpt": str(checkpoint(home, name))} for name in SEVERAL]
    file = home / "models.yaml"
    file.write_text(yaml.safe_dump({"models": models}))
    return "--config", file


def checkpoint(folder, encoder):
    """Random weights of the size the cases were recorded with."""
    return untrained(folder / f"{encoder}.safetensors", load(f"encoders/{encoder}.json"))


def generated_body(recipe):
    """The bodies too large to record, from how they are made."""
    size = next(value for name, value in recipe.items() if name != "kind")
    return GENERATORS[recipe["kind"]](size)


def valid_body():
    cases = load("http/success.json")["cases"]
    return next(case["request"]["json"] for case in cases if case["name"] == "infill_one_bar")


def _long_integer(digits):
    body = json.dumps(valid_body())
    return body.replace('"seed": 7', '"seed": ' + "9" * digits)


def _nested_objects_in_score(depth):
    body = json.dumps(valid_body())
    return body.replace(
        '"score": {', '"score": {"x": ' + '{"x": ' * depth + "1" + "}" * depth + ","
    )


def _many_notes(count):
    body = valid_body()
    note = {"pitch": 60, "velocity": 80, "duration_ticks": 10}
    notes = [{**note, "onset_ticks": index % 1920} for index in range(count)]
    body["score"]["tracks"][0]["bars"][0]["notes"] = notes
    return json.dumps(body)


def _many_tracks(count):
    body = valid_body()
    body["score"]["tracks"] *= count
    body["request"]["tracks"] += [{"id": index, "bars": []} for index in range(1, count)]
    return json.dumps(body)


def _many_bars(count):
    body = valid_body()
    bars = body["score"]["tracks"][0]["bars"]
    body["score"]["tracks"][0]["bars"] = bars * (count // len(bars))
    return json.dumps(body)


GENERATORS = {
    "long_integer": _long_integer,
    "nested_arrays": lambda depth: "[" * depth + "]" * depth,
    "nested_objects_in_score": _nested_objects_in_score,
    "padding": lambda size: json.dumps({**valid_body(), "padding": "x" * size}),
    "whitespace": lambda size: " " * size + json.dumps(valid_body()),
    "many_notes": _many_notes,
    "many_tracks": _many_tracks,
    "many_bars": _many_bars,
}


def content(request):
    """The bytes a case sends as its body."""
    if "json" in request:
        return json.dumps(request["json"]).encode()
    if "body_base64" in request:
        return base64.b64decode(request["body_base64"])
    if "body_generator" in request:
        return generated_body(request["body_generator"]).encode()
    return request.get("body_text", "").encode()


def send(client, request):
    # httpx would add headers of its own; the paths are sent as they are
    url = httpx.URL(str(client.base_url).rstrip("/") + request["path"])
    sent = content(request)
    answer = client.send(
        httpx.Request(request["method"], url, headers=request["headers"], content=sent)
    )
    return sent, answer


def contains(actual, expected):
    """Whether everything expected is there, at any depth."""
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(
            name in actual and contains(actual[name], value) for name, value in expected.items()
        )
    return actual == expected


@pytest.mark.parametrize("case", CASES)
def test_case(case, servers):
    sent, response = send(servers(case["server"]), case["request"])
    accepted, expected = case["expected_status"], case["expected"]
    assert response.status_code in (accepted if isinstance(accepted, list) else [accepted]), (
        response.text[:500]
    )
    if response.status_code >= 400 and case["request"]["method"] != "HEAD":
        check_error(response, sent)
    if "json_equals" in expected:
        assert response.json() == expected["json_equals"]
    if "json_contains" in expected:
        assert contains(response.json(), expected["json_contains"])
    for name in expected.get("header_names", []):
        assert name in response.headers
    for name, value in expected.get("headers", {}).items():
        assert response.headers[name] == value
    if response.status_code == 200 and case["request"]["path"] == "/generate":
        check_success(response, case)


def check_success(response, case):
    """An answer of the kind that was asked for, with the id that was sent."""
    body = json.loads(content(case["request"]))
    id_ = response.headers["x-request-id"]
    assert (
        id_ == body["request_id"] if body.get("request_id") else re.fullmatch("[0-9a-f]{32}", id_)
    )
    config = body["request"].get("config", {})
    if body.get("stream") and not config.get("plan_only"):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        end = frames(response.text)[-1]
        assert end["type"] == ("error" if case["name"] in FAILING else "done")
        answer = end.get("response", end)
    else:
        assert response.headers["content-type"] == "application/json"
        answer = response.json()
        assert mismatches(answer, shape(config)) == []
    assert answer["request_id"] == id_


FAILING = {"stream_inference_failure"}


# what only the inside of a server knows; a path that the client asked for may be repeated
LEAKS = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|<class|object at 0x|Error\b|Exception\b"
    r"|\b(midigpt|bentoml|starlette|uvicorn|pydantic|json|torch|numpy)\.[a-z]"
    r"|GenerateInput|GenerationRequest|TrackPrompt|InferenceConfig|SamplingSession",
)


def check_error(response, sent):
    error = response.json()
    detail = error["detail"]
    assert response.headers["content-type"] == "application/json"
    assert isinstance(detail, str)
    assert 1 <= len(detail) <= 2000
    assert error["code"] in CODES[response.status_code]
    assert "\n" not in detail
    assert not LEAKS.search(response.text)
    assert not any(detail[i : i + 201].encode() in sent for i in range(len(detail) - 200))
    assert len(response.content) < 3000
    assert response.headers.get("x-request-id") == error.get("request_id")
    if response.status_code in {400, 422} and (body := parsed(sent)):
        # names that are no words stand in quotes
        assert "path" not in error or is_placed(error["path"].replace('"', ""), body)
        if is_name(body.get("request_id")):
            assert error["request_id"] == body["request_id"]


def parsed(sent):
    """The object that was sent, if it was one."""
    try:
        body = json.loads(sent)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


CODES = {
    400: {"malformed", "unknown_model"},
    404: {"not_found"},
    405: {"method_not_allowed"},
    413: {"too_large"},
    415: {"unsupported_media_type"},
    422: {"invalid_request"},
    500: {"inference_failed"},
}


def is_placed(path, value):
    """Whether a path leads to a member of the value, or to one that is missing from it."""
    if isinstance(value, list):
        index = re.match(r"\[(\d+)\]\.?", path)
        inside = bool(index) and int(index[1]) < len(value)
        rest = path[index.end() :] if index else ""
        return inside and (not rest or is_placed(rest, value[int(index[1])]))
    if not isinstance(value, dict):
        return False
    for name in value:
        rest = path.removeprefix(name)
        if path.startswith(name) and rest[:1] in {"", ".", "["}:
            return not rest or is_placed(rest.removeprefix("."), value[name])
    return re.fullmatch(r"\w+", path) is not None
