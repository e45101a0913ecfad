import json

import pytest

from midigpt.server.errors import ApiError, answer_error, invalid, malformed, unavailable


def test_the_error_object():
    error = ApiError(409, "duplicate", "it is taken", path="request_id", request_id="mine")
    response = error.response()
    assert response.status_code == 409
    assert response.headers["x-request-id"] == "mine"
    assert json.loads(response.body) == {
        "detail": "it is taken",
        "code": "duplicate",
        "path": "request_id",
        "request_id": "mine",
    }


def test_what_is_not_known_is_left_out():
    response = malformed("it is no object").response()
    assert json.loads(response.body) == {"detail": "it is no object", "code": "malformed"}
    assert "x-request-id" not in response.headers


def test_statuses():
    assert (malformed("x").status, invalid("x").status) == (400, 422)
    busy = unavailable("busy", "come back")
    assert (busy.status, busy.response().headers["retry-after"]) == (503, "5")


def test_details_are_limited_and_free_of_lone_surrogates():
    body = json.loads(malformed("\ud800" + "x" * 5000, "\udfff").response().body)
    assert body["detail"] == "?" + "x" * 1999
    assert body["path"] == "?"


@pytest.mark.anyio
async def test_other_errors_are_not_answered():
    with pytest.raises(KeyError):
        await answer_error(None, KeyError())


@pytest.fixture
def anyio_backend():
    return "asyncio"
