"""Bodies that were good until something happened to them."""

import copy
import json

import httpx
import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from midigpt.server.openapi.examples import REQUESTS
from tests.fuzz.contract import budget, check
from tests.fuzz.music import requests

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("stays_healthy")]

GOOD = [example["value"] for example in REQUESTS.values()]
NAMES = ("bars", "notes", "tracks", "config", "controls", "attributes", "pitch_mask", "seed", "x")
NUMBERS = [0, 1, -1, 0.5, 4.0, 127, 128, 2**31, -(2**31), 2**63, 10**400, 1e308, 5e-324, -0.0]
STRINGS = ["", "auto", "melodic", "..", "\0", "\r\nX: y", "\ud800", "x" * 1000, "é", "0", "null"]


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


VALUES = st.one_of(
    st.sampled_from([None, True, False, [], {}, [[]], {"": {}}, nested(70), nested(300)]),
    st.sampled_from(NUMBERS),
    st.sampled_from(STRINGS),
    st.sampled_from(
        [[0] * 1000, [1, 1], [-1], {"0": {}}, {"00": {}}, {"0": {"time_signature": 0}}]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
).map(copy.deepcopy)  # they are changed once they are part of a body


def places(value, path=()):
    """Every member and item of a body, by the path to it."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in members:
        yield (*path, key)
        if isinstance(child, (dict, list)):
            yield from places(child, (*path, key))


def inside(body, path):
    for key in path:
        body = body[key]
    return body


@st.composite
def spoilt(draw):
    """A good body with a few changes: values, missing members, members that do not belong."""
    body = copy.deepcopy(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from([*places(body)]))
        parent, key = inside(body, path[:-1]), path[-1]
        change = draw(st.sampled_from(["set", "set", "set", "remove", "repeat", "add"]))
        if change == "remove":
            del parent[key]
        elif change == "repeat" and isinstance(parent, list):
            parent += [copy.deepcopy(parent[key])] * draw(st.integers(1, 40))
        elif change == "add" and isinstance(parent, dict):
            parent[draw(st.sampled_from(NAMES) | st.text(max_size=20))] = draw(VALUES)
        else:
            parent[key] = draw(VALUES)
        if not body:
            break
    return json.dumps(body, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")


@st.composite
def torn(draw):
    """The bytes of a good body with pieces cut out, repeated, or replaced by noise."""
    text = json.dumps(draw(st.sampled_from(GOOD))).encode()
    for _ in range(draw(st.integers(1, 3))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        middle = text[start:end] * draw(st.integers(0, 2)) + draw(st.binary(max_size=10))
        text = text[:start] + middle + text[end:]
    return text


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


def send(client, body, path="/generate", media="application/json"):
    note(body)
    answer = client.post(path, content=body, headers={"Content-Type": media})
    note(answer.text)
    return answer


@budget(100)
@given(body=requests())
def test_what_makes_sense_is_answered(client, body):
    check(send(client, json.dumps(body).encode()))


@budget(150)
@given(body=spoilt())
def test_a_spoilt_body_is_answered_or_refused(client, body):
    check(send(client, body))


@budget(50)
@given(body=spoilt())
def test_and_so_it_is_where_everything_is_streamed(client, body):
    check(send(client, body, "/generate_stream"))


@budget(100)
@given(body=torn() | st.binary(max_size=200))
def test_whatever_else_is_sent_is_refused(client, body):
    check(send(client, body))


@budget(20)
@given(
    media=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.strip),
    body=torn(),
)
def test_so_are_other_kinds_of_bodies(client, media, body):
    check(send(client, body, media=media))


@budget(40)
@given(id_=st.text(min_size=1, max_size=200) | st.sampled_from(STRINGS[3:]))
def test_any_id_may_be_cancelled(client, id_):
    path = httpx.QueryParams({"": id_.encode(errors="replace").decode()})
    answer = client.post(f"/generate/{str(path)[1:]}/cancel")
    assert answer.status_code == 404
    check(answer)
