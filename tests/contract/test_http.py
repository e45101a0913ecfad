"""The recorded requests, each sent to a real server over a socket.

``expected_status`` may be a list, of which any will do. Cases that need what is not there yet are
expected to fail, recognised by what they ask for.
"""

import base64
import json
from contextlib import ExitStack

import httpx
import pytest
import torch

from midigpt.model import GPT2Config, GPT2LMHeadModel, save_checkpoint
from midigpt.tokens import EncoderConfig, Vocabulary
from tests.contract.vectors import load, needs_vectors
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
PENDING = {
    "several models": "several models come with --config",
    "stream": "streaming comes with the whole contract",
    "candidates": "several candidates come with the whole contract",
}


def body_of(request):
    """The JSON a case sends, where it sends any."""
    body = request.get("json")
    return body if isinstance(body, dict) and isinstance(body.get("request"), dict) else {}


def pending(case):
    """Which later feature a case needs, if any."""
    body = body_of(case["request"])
    config = body.get("request", {}).get("config")
    config = config if isinstance(config, dict) else {}
    if case["expected_status"] != 200 or config.get("plan_only"):
        return None
    if case["server"] == "multi" and ("model=" in case["request"]["path"] or "model" in body):
        return "several models"
    if body.get("stream"):
        return "stream"
    return "candidates" if config.get("num_candidates", 1) != 1 else None


def param(file, case):
    need = pending(case)
    marks = [pytest.mark.xfail(reason=PENDING[need], strict=True)] if need else []
    return pytest.param(case, id=f"{file}-{case['name']}", marks=marks)


CASES = [param(file, case) for file in FILES for case in load(f"http/{file}.json").get("cases", [])]


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """A client for each server that cases name; started when first asked for."""
    home, clients = tmp_path_factory.mktemp("http"), {}
    with ExitStack() as stack:

        def client(name):
            if name not in clients:
                path = checkpoint(home, "yellow" if name == "multi" else name)
                server = stack.enter_context(served(home / name, "--ckpt", str(path)))
                clients[name] = stack.enter_context(server.client())
            return clients[name]

        yield client


def checkpoint(folder, encoder):
    """Random weights of the size the cases were recorded with."""
    encoder_config = load(f"encoders/{encoder}.json")
    vocabulary = Vocabulary.from_config(EncoderConfig.parse(encoder_config))
    config = GPT2Config(
        vocab_size=len(vocabulary), n_positions=2048, n_embd=64, n_layer=2, n_head=4
    )
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    path = folder / f"{encoder}.safetensors"
    save_checkpoint(path, model, encoder_config)
    return path


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
    return client.send(
        httpx.Request(request["method"], url, headers=request["headers"], content=content(request))
    )


def contains(actual, expected):
    """Whether everything expected is there, at any depth."""
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(
            name in actual and contains(actual[name], value) for name, value in expected.items()
        )
    return actual == expected


@pytest.mark.parametrize("case", CASES)
def test_case(case, servers):
    response = send(servers(case["server"]), case["request"])
    accepted, expected = case["expected_status"], case["expected"]
    assert response.status_code in (accepted if isinstance(accepted, list) else [accepted]), (
        response.text[:500]
    )
    if response.status_code >= 400:
        check_error(response)
    if "json_equals" in expected:
        assert response.json() == expected["json_equals"]
    if "json_contains" in expected:
        assert contains(response.json(), expected["json_contains"])
    for name in expected.get("header_names", []):
        assert name in response.headers
    for name, value in expected.get("headers", {}).items():
        assert response.headers[name] == value
    if body_of(case["request"]).get("stream") and response.status_code == 200:
        assert case_streams(case) == response.headers["content-type"].startswith(
            "text/event-stream"
        )


def case_streams(case):
    return not body_of(case["request"])["request"]["config"].get("plan_only")


def check_error(response):
    error = response.json()
    assert response.headers["content-type"] == "application/json"
    assert isinstance(error["detail"], str)
    assert 1 <= len(error["detail"]) <= 2000
    assert isinstance(error["code"], str)
    assert len(response.content) < 3000
