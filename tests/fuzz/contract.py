"""What every answer must be, whatever was asked."""

import json
import re
from functools import cache

from hypothesis import settings
from openapi_schema_validator import OAS31Validator

from midigpt.server.errors import ERROR_CODES
from midigpt.server.openapi import document

INTERNAL = re.compile(
    r"Traceback|File \"|\.py\b|line \d+, in|pydantic|midigpt|bentoml|starlette|torch|0x[0-9a-f]{8}"
)
FAILURES = {"busy", "inference_failed"}
"""What may happen to any request: too many of them, or music that passes no check."""
ENDS = {"done", "cancelled", "error"}
MEMBERS = {"detail", "code", "path", "request_id"}


def budget(examples):
    """Settings of a test: so many examples, and many more with ``--hypothesis-profile fuzz``."""
    times = 20 if settings.get_current_profile_name() == "fuzz" else 1
    return settings(max_examples=times * examples, deadline=None)


@cache
def validator(name):
    reference = {"$ref": f"#/components/schemas/{name}"}
    return OAS31Validator({**reference, "components": document()["components"]})


def check(answer):
    """Check an answer of httpx to a request for music.

    Raises:
        AssertionError: it is none that the documentation allows.
    """
    if answer.status_code >= 400:
        check_error(answer.status_code, answer.headers, answer.content)
    elif answer.headers["content-type"].startswith("text/event-stream"):
        check_frames(answer.text)
    else:
        validator("GenerateOutput").validate(strict(answer.content))


def check_error(status, headers, content):
    error = strict(content)
    validator("Problem").validate(error)
    assert set(error) <= MEMBERS
    assert ERROR_CODES[error["code"]].startswith(str(status))
    assert status < 500 or error["code"] in FAILURES, error
    assert not INTERNAL.search(error["detail"]), error
    assert error["detail"].isprintable(), error
    assert len(content) < 3000
    assert headers["content-type"] == "application/json"
    assert headers.get("x-request-id") == error.get("request_id")


def check_frames(text):
    *frames, rest = text.split("\n\n")
    assert rest == ""
    told = [strict(frame.removeprefix("data: ")) for frame in frames if frame[0] != ":"]
    for frame in told:
        validator("Frame").validate(frame)
    assert told[-1]["type"] in ENDS
    assert not ENDS & {frame["type"] for frame in told[:-1]}
    assert told[-1].get("code", "inference_failed") in FAILURES, told[-1]


def strict(text):
    """Strict JSON, which has no NaN."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)
