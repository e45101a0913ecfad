import json
from typing import get_args

import pytest

from midigpt.server.errors import (
    ERROR_CODES,
    ApiError,
    ErrorCode,
    answer_error,
    invalid,
    malformed,
    unavailable,
)


def test_the_error_object():
    error = ApiError(
        409, "duplicate_request_id", "it is taken", path="request_id", request_id="mine"
    )
    response = error.response()
    assert response.status_code == 409
    assert response.headers["x-request-id"] == "mine"
    assert json.loads(response.body) == {
        "detail": "it is taken",
        "code": "duplicate_request_id",
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


def test_every_code_has_a_status_and_a_meaning():
    assert set(ERROR_CODES) == set(get_args(ErrorCode))
    statuses = {code: int(meaning.split(":")[0]) for code, meaning in ERROR_CODES.items()}
    assert statuses["busy"] == 503
    assert all(400 <= status < 600 for status in statuses.values())


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
