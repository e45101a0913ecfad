"""The schemas of the OpenAPI document, made of the records that check and write the bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, NoDefault, models_json_schema

from midigpt.inference.validate_score import MAX_TRACKS
from midigpt.server.errors import ERROR_CODES, LONGEST_DETAIL
from midigpt.server.names import NAME_PATTERN, NAME_RULE
from midigpt.server.openapi.controls import BAR_NUMBERS, CONTROLS, Schema
from midigpt.server.results import Frame, GenerateOutput
from midigpt.server.schemas import Cancelling, GenerateInput, Health, Info, Models, VerboseHealth

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core.core_schema import BoolSchema, WithDefaultSchema

_ANSWERS: tuple[type[BaseModel], ...] = (
    Cancelling,
    GenerateOutput,
    Health,
    Info,
    Models,
    VerboseHealth,
)
_FRAMES: tuple[type[BaseModel], ...] = get_args(Frame)

_ALWAYS = ["request_id", "model", "status"]
_SHARED = ["generated_bars", "dropped_context", "timing", "tokens", "warnings"]
_LATER = ["cancel_reason", "queue_s"]
_OUTPUTS = {
    "Result": (
        "One result.",
        ["completed", "cancelled"],
        ["score", "seed", *_SHARED, "attempts"],
        _LATER,
    ),
    "Candidates": (
        "Several results: requested = succeeded + failed + cancelled.",
        ["completed", "cancelled"],
        ["base_seed", "candidates", "summary", *_SHARED],
        _LATER,
    ),
    "Plan": (
        "What would be generated.",
        ["planned"],
        ["model_dim", "plan", "dropped_context"],
        ["warnings"],
    ),
}
"""The kinds of answers to a request for music: meaning, status, members, and members if any."""

_DESCRIPTIONS = {
    "GenerateInput": "A score, and what to write into it.",
    "Score": "A piece: its tracks, all with the same number of bars, and one tempo.",
    "Track": "One instrument's bars.",
    "Bar": "A bar: its notes and its meter.",
    "Note": "A note; it belongs to the bar it starts in and may ring past that bar's end.",
    "InferenceConfig": "How to generate.",
    "GenerateOutput": "What a request for music is answered with.",
    "Cancelling": "The request is told to stop; its own answer comes with what there is.",
    "Health": "The server is alive.",
    "VerboseHealth": "The server is alive, and this is the state of its queue.",
    "Info": "A loaded model.",
    "Models": "The loaded models.",
}
"""In the words of the interface, where those of the records are for programmers in Python."""


class _Generator(GenerateJsonSchema):
    """Schemas of what is really accepted and sent."""

    def bool_schema(self, schema: BoolSchema) -> Schema:
        """Of clients, 0 and 1 are accepted as well."""
        if self.mode == "validation":
            return {"anyOf": [{"type": "boolean"}, {"enum": [0, 1]}]}
        return super().bool_schema(schema)

    def get_default_value(self, schema: WithDefaultSchema) -> Any:  # noqa: ANN401 - any JSON
        """Answers have no defaults: what they have is sent. Empty ones of requests are shown."""
        if self.mode == "serialization":
            return NoDefault
        if schema.get("default_factory") in {list, dict}:
            return [] if schema["default_factory"] is list else {}
        return super().get_default_value(schema)

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: ANN401 - the base class's signature
        """Answers have all their members."""
        return self.mode == "serialization" or super().field_is_required(field, total)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 - as above
        """A title would be the name once more."""
        return False


def ref(name: str) -> Schema:
    """A reference to one of the schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas() -> dict[str, Schema]:
    """All schemas, by name."""
    records: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (GenerateInput, "validation"),
        *((record, "serialization") for record in (*_ANSWERS, *_FRAMES)),
    ]
    _, made = models_json_schema(
        records, ref_template=ref("{model}")["$ref"], schema_generator=_Generator
    )
    found: dict[str, Schema] = made["$defs"]
    for name, schema in found.items():
        schema.pop("title", None)
        words = _DESCRIPTIONS.get(name.partition("-")[0], schema.get("description"))
        schema["description"] = words
    _refine_request(found)
    _refine_answer(found)
    return {**found, **CONTROLS, "Frame": _frame(), "Problem": _PROBLEM}


def _refine_request(found: dict[str, Schema]) -> None:
    """Write down what hand-written code checks."""
    body, prompt = found["GenerateInput"]["properties"], found["TrackPrompt"]["properties"]
    body["request_id"] = _REQUEST_ID
    for name in ("Score-Input", "GenerationRequest"):
        found[name]["properties"]["tracks"] |= {"minItems": 1, "maxItems": MAX_TRACKS}
        found[name]["required"] = ["tracks"]
    found["Track-Input"]["properties"]["bars"] |= {"minItems": 1}
    found["Track-Input"]["required"] = ["bars"]
    found["GenerationRequest"]["properties"] |= {
        "config": {**ref("InferenceConfig"), "default": {}},
        "controls": {**ref("PieceControls"), "default": {}},
    }
    prompt["id"] |= {"minimum": 0}
    for name in ("bars", "mask_bars"):
        prompt[name]["items"] |= {"minimum": 0}
    prompt["controls"] = {**ref("TrackControls"), "default": {}}
    prompt["bar_attributes"] |= {"propertyNames": BAR_NUMBERS}
    prompt["bar_controls"] |= {
        "propertyNames": BAR_NUMBERS,
        "additionalProperties": ref("BarControls"),
    }
    for schema in found.values():
        for name in schema.get("required", ()):
            schema["properties"][name].pop("default", None)


def _refine_answer(found: dict[str, Schema]) -> None:
    """Make one schema of each kind of answer to a request for music."""
    for ticks in ("onset_ticks", "duration_ticks", "delta"):
        schema = found["Note-Output"]["properties"][ticks]
        del schema["minimum"], schema["maximum"]  # a finer resolution makes larger numbers
    output = found["GenerateOutput"]
    members = output["properties"]
    for name in ("timing", "tokens", "summary", "cancel_reason"):
        members[name] = members[name]["anyOf"][0]  # they are left out, never null
    for name, (words, status, have, may_have) in _OUTPUTS.items():
        kept = [*_ALWAYS, *have]
        found[name] = {
            "type": "object",
            "description": words,
            "properties": {one: members[one] for one in (*kept, *may_have)}
            | {"status": {"enum": status}},
            "required": kept,
        }
    found["GenerateOutput"] = {
        "description": output["description"],
        "oneOf": [ref(name) for name in _OUTPUTS],
    }


def _frame() -> Schema:
    """Any frame of a stream; ``type`` tells which."""
    kinds = {
        kind: ref(frame.__name__)["$ref"]
        for frame in _FRAMES
        for kind in get_args(frame.model_fields["type"].annotation)
    }
    return {
        "description": "What is in the data line of a server-sent event.",
        "oneOf": [ref(frame.__name__) for frame in _FRAMES],
        "discriminator": {"propertyName": "type", "mapping": kinds},
    }


_REQUEST_ID: Schema = {
    "anyOf": [
        {"type": "string", "pattern": NAME_PATTERN, "not": {"enum": [".", ".."]}},
        {"const": ""},
        {"type": "null"},
    ],
    "default": None,
    "description": f"{NAME_RULE} (chosen by the server if it is empty, null or left out)",
}
_PROBLEM: Schema = {
    "type": "object",
    "description": "Every error.",
    "properties": {
        "detail": {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_DETAIL,
            "description": "what is wrong, naming the member and what is accepted",
        },
        "code": {
            "enum": list(ERROR_CODES),
            "description": "\n".join(f"- `{code}` {what}" for code, what in ERROR_CODES.items()),
        },
        "path": {"type": "string", "description": "the offending member, if it is one"},
        "request_id": {"type": "string", "description": "id of the request, if it is known"},
    },
    "required": ["detail", "code"],
}
