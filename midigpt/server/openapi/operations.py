"""The operations of the OpenAPI document, and what they have in common: headers and errors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midigpt.server.errors import ERROR_CODES
from midigpt.server.openapi.controls import Schema
from midigpt.server.openapi.examples import ERRORS, FRAMES
from midigpt.server.openapi.schemas import ref

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midigpt.server.errors import ErrorCode

TAGS = {
    "music": "Writing music.",
    "server": "What is loaded, and how it is doing.",
    "probes": "For whatever watches over the server.",
    "documentation": "For people, and for programs.",
    "BentoML clients": "The same once more, in the form that clients made by BentoML use.",
}


def _header(kind: str, description: str) -> Schema:
    return {"schema": {"type": kind}, "description": description}


HEADERS = {
    "X-Request-Id": _header("string", "id of the request"),
    "X-Inflight": _header("integer", "requests waiting and running"),
    "X-Max-Queue": _header("integer", "most requests that may wait and run"),
    "Retry-After": _header("integer", "seconds after which to come back"),
    "Allow": _header("string", "methods that the address takes"),
    "WWW-Authenticate": _header("string", "`Bearer`"),
}
_ERROR_HEADERS = {401: ["WWW-Authenticate"], 405: ["Allow"], 503: ["Retry-After"]}
_EVERYWHERE = (403, 405, 500)
_OPEN = {"probes", "documentation"}
"""What needs no key even if the server has one."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What can be done at an address.

    Attributes:
        id: its name for programs.
        tag: what it belongs to.
        summary: its name for people.
        content: what it answers, by media type.
        errors: statuses of the errors that it may answer, beyond those that all may.
        headers: names of headers of the answer.
        parameters: what goes in the address.
    """

    id: str
    tag: str
    summary: str
    content: Schema
    errors: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    parameters: tuple[Schema, ...] = ()

    def get(self) -> Schema:
        """As ``GET``."""
        failures = {status: _ref_error(status) for status in self._statuses()}
        return self._with({200: {**self._success(), "content": self.content}, **failures})

    def head(self) -> Schema:
        """As ``HEAD``: the same without content."""
        failures = {status: {"description": _meaning(status)} for status in self._statuses()}
        operation = self._with({200: self._success(), **failures})
        return {**operation, "operationId": f"{self.id}Head"}

    def post(self, body: Schema | None = None, *, is_required: bool = True) -> Schema:
        """As ``POST`` of such a body, by media type."""
        if body is None:
            return self.get()
        return {**self.get(), "requestBody": {"required": is_required, "content": body}}

    def _with(self, responses: dict[int, Schema]) -> Schema:
        return {
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "parameters": [*self.parameters],
            "responses": {str(status): responses[status] for status in sorted(responses)},
            **({"security": []} if self.tag in _OPEN else {}),
        }

    def _statuses(self) -> set[int]:
        return {*self.errors, *_EVERYWHERE} | (set() if self.tag in _OPEN else {401})

    def _success(self) -> Schema:
        return {"description": "OK", "headers": _refs(self.headers)}


def json_of(name: str) -> Schema:
    """A JSON answer of that schema."""
    return {"application/json": {"schema": ref(name)}}


def text(media_type: str) -> Schema:
    """An answer that is text."""
    return {media_type: {"schema": {"type": "string"}}}


def of_frames() -> Schema:
    """An answer that is a stream; what its frames hold is a schema of its own."""
    sent = "".join(f"data: {json.dumps(frame)}\n\n" for frame in FRAMES)
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": ref("Frame"),
        "description": "a frame, as JSON on one line",
    }
    event = {
        "type": "object",
        "description": "Each server-sent event: `data: `, a frame, and an empty line. The last one"
        " is `done`, `cancelled` or `error`. Lines that begin with a colon mean nothing.",
        "properties": {"data": data},
        "required": ["data"],
    }
    return {"text/event-stream": {"schema": event, "example": sent}}


def parameter(name: str, place: str, description: str) -> Schema:
    """Something in the address."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": {"type": "string"},
        "description": description,
    }


def errors() -> dict[str, Schema]:
    """The errors of each status, for the components of the document."""
    return {f"Error{status}": _error(status) for status in sorted({*map(_status, ERRORS)})}


def _error(status: int) -> Schema:
    examples = {
        code: {"summary": ERROR_CODES[code], "value": {**example, "code": code}}
        for code, example in ERRORS.items()
        if _status(code) == status
    }
    return {
        "description": _meaning(status),
        "headers": _refs(["X-Request-Id", *_ERROR_HEADERS.get(status, ())]),
        "content": {"application/json": {"schema": ref("Problem"), "examples": examples}},
    }


def _meaning(status: int) -> str:
    meanings = [what for code, what in ERROR_CODES.items() if code in ERRORS]
    return ". Or: ".join(what[5:] for what in meanings if what.startswith(str(status)))


def _status(code: ErrorCode) -> int:
    return int(ERROR_CODES[code][:3])


def _refs(headers: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}


def _ref_error(status: int) -> Schema:
    return {"$ref": f"#/components/responses/Error{status}"}
