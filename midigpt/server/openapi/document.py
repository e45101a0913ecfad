"""The OpenAPI document: every address, what it takes and everything it may answer."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from midigpt import __version__
from midigpt.inference.validate_score import MAX_BARS, MAX_TRACKS
from midigpt.server.openapi.examples import OUTPUTS, REQUESTS
from midigpt.server.openapi.operations import (
    HEADERS,
    TAGS,
    Operation,
    errors,
    json_of,
    of_frames,
    parameter,
    text,
)
from midigpt.server.openapi.schemas import ref, schemas
from midigpt.server.parse import LONGEST

if TYPE_CHECKING:
    from midigpt.server.openapi.controls import Schema

_DESCRIPTION = f"""\
Send a score and say which bars to write; the answer is the whole score with those bars written.
The server keeps nothing between requests.

Numbers without a fraction count as integers however they are written (`4.0`), and `0` and `1` are
understood as `false` and `true`. Members that mean nothing are ignored, and `warnings` of the
answer names them; in notes, `attributes` and `controls` they are errors.

A score has at most {MAX_TRACKS} tracks, {MAX_BARS} bars in all of them and {LONGEST} notes in a
bar. The server limits the length of bodies, by default to 32 MiB, and the number of values in them.

Every error is an object with a readable `detail` and a `code`.
"""
_READ = (400, 408, 413, 415)
_MUSIC = (*_READ, 409, 422, 500, 503)
_MODEL = parameter("model", "query", "id of a loaded model; the default model if left out")
_VERBOSE = parameter("verbose", "query", "`1` adds the state of the queue")
_REQUEST_ID = parameter("request_id", "path", "id of a request that waits or runs")
_HTML, _PLAIN = text("text/html"), text("text/plain")
_HEALTH = {"application/json": {"schema": {"anyOf": [ref("VerboseHealth"), ref("Health")]}}}
_OUTPUT = {"application/json": {"schema": ref("GenerateOutput"), "examples": OUTPUTS}}
_ANY = {"application/json": {"schema": {"type": "object"}}}
_REQUEST = {"application/json": {"schema": ref("GenerateInput"), "examples": REQUESTS}}


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of the service."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "MIDI-GPT", "version": __version__, "description": _DESCRIPTION},
        # relative to where the document is: a proxy may have put all this under a path of its own
        "servers": [{"url": "./"}],
        "tags": [{"name": name, "description": what} for name, what in TAGS.items()],
        "security": [{}, {"key": []}],
        "paths": {**_reads(), **_calls()},
        "components": {
            "schemas": schemas(),
            "responses": errors(),
            "headers": HEADERS,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "only if the server was started with a key",
                }
            },
        },
    }


def _reads() -> Schema:
    """What is read: ``GET`` and ``HEAD``."""
    queue = ("X-Inflight", "X-Max-Queue")
    operations = {
        "/health": Operation(
            "health", "probes", "Whether it is alive", _HEALTH, (), queue, (_VERBOSE,)
        ),
        "/info": Operation(
            "info", "server", "What a model can do", json_of("Info"), (400, 503), (), (_MODEL,)
        ),
        "/models": Operation("models", "server", "The loaded models", json_of("Models"), (503,)),
        "/metrics": Operation("metrics", "server", "Metrics for Prometheus", _PLAIN),
        "/livez": Operation("livez", "probes", "Whether it is alive", _PLAIN, (503,)),
        "/healthz": Operation("healthz", "probes", "The same as /livez", _PLAIN, (503,)),
        "/readyz": Operation("readyz", "probes", "Whether the models are loaded", _PLAIN, (503,)),
        "/": Operation("index", "documentation", "This page", _HTML),
        "/docs": Operation("docs", "documentation", "This page", _HTML),
        "/openapi.json": Operation("openapi", "documentation", "This document", _ANY),
        "/docs.json": Operation("docsJson", "BentoML clients", "As GET /openapi.json", _ANY),
        "/schema.json": Operation("schema", "BentoML clients", "What these clients read", _ANY),
    }
    return {
        path: {"get": operation.get(), "head": operation.head()}
        for path, operation in operations.items()
    }


def _calls() -> Schema:
    """What is asked for: ``POST``."""
    tag, frames = "BentoML clients", of_frames()
    operations = {
        "/generate": Operation(
            "generate", "music", "Write bars", {**_OUTPUT, **frames}, _MUSIC, ("X-Request-Id",)
        ).post(_REQUEST),
        "/generate/{request_id}/cancel": Operation(
            "cancel",
            "music",
            "Stop a request that waits or runs",
            json_of("Cancelling"),
            (404,),
            (),
            (_REQUEST_ID,),
        ).post(),
        "/generate_stream": Operation(
            "generateStream",
            tag,
            "As POST /generate with stream",
            {**frames, **json_of("Plan")},
            _MUSIC,
            ("X-Request-Id",),
        ).post(_REQUEST),
        "/api/health": Operation("apiHealth", tag, "As GET /health", json_of("Health"), _READ).post(
            _members(), is_required=False
        ),
        "/api/info": Operation("apiInfo", tag, "As GET /info", json_of("Info"), (*_READ, 503)).post(
            _members(model={"type": ["string", "null"], "default": ""}), is_required=False
        ),
        "/api/models": Operation(
            "apiModels", tag, "As GET /models", json_of("Models"), (*_READ, 503)
        ).post(_members(), is_required=False),
        "/api/cancel": Operation(
            "apiCancel",
            tag,
            "As POST /generate/{request_id}/cancel",
            json_of("Cancelling"),
            (*_READ, 404),
        ).post(_members("request_id", request_id={"type": "string"})),
    }
    return {path: {"post": operation} for path, operation in operations.items()}


def _members(*required: str, **members: Schema) -> Schema:
    """A body of a few names; others are ignored, but they too must be strings."""
    schema = {
        "type": "object",
        "properties": members,
        "additionalProperties": {"type": ["string", "null"]},
        "required": [*required],
    }
    return {"application/json": {"schema": schema}}
