"""The OpenAPI document, made of the schemas that check and write the bodies."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from midigpt import __version__
from midigpt.server.schemas import (
    Cancelling,
    GenerateInput,
    GenerateOutput,
    Health,
    Info,
    Models,
    Problem,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

_ANSWERS: tuple[type[BaseModel], ...] = (
    Cancelling,
    GenerateOutput,
    Health,
    Info,
    Models,
    Problem,
)
_ERRORS = {
    400: "malformed, or an unknown model",
    404: "no such request in flight",
    409: "a request of this id is in flight",
    413: "the body is too long",
    415: "the body is not JSON",
    422: "the request cannot be carried out",
    500: "the generation failed",
    503: "the queue is full, or the model is still being loaded",
}


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of the service."""
    schemas: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (GenerateInput, "validation"),
        *((answer, "serialization") for answer in _ANSWERS),
    ]
    _, definitions = models_json_schema(schemas, ref_template="#/components/schemas/{model}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MIDI-GPT",
            "version": __version__,
            "description": "Writes music: send a score and say which bars to write.",
        },
        "paths": _paths(),
        "components": {"schemas": definitions["$defs"]},
    }


def _paths() -> dict[str, Any]:
    return {
        "/generate": {"post": _generate()},
        "/generate/{request_id}/cancel": {
            "post": _operation(
                "Stop a generation", Cancelling, 404, parameter=("request_id", "path")
            )
        },
        "/health": {"get": _operation("Liveness probe", Health)},
        "/info": {
            "get": _operation("What the model can do", Info, 400, 503, parameter=("model", "query"))
        },
        "/models": {"get": _operation("The loaded models", Models, 503)},
    }


def _generate() -> dict[str, Any]:
    operation = _operation("Write bars", GenerateOutput, 400, 409, 413, 415, 422, 500, 503)
    body = {"required": True, "content": _content(GenerateInput)}
    return {**operation, "requestBody": body}


def _operation(
    summary: str,
    answer: type[BaseModel],
    *errors: int,
    parameter: tuple[str, str] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": {"description": "OK", "content": _content(answer)},
            **{
                str(status): {"description": _ERRORS[status], "content": _content(Problem)}
                for status in errors
            },
        },
    }
    if parameter:
        name, place = parameter
        operation["parameters"] = [
            {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
        ]
    return operation


def _content(model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"application/json": {"schema": schema}}
