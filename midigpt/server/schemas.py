"""What clients send and get, as the documentation and the generated clients know it."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal
from uuid import uuid4

import bentoml
from _bentoml_sdk.io_models import IORootModel  # type: ignore[import-untyped]  # as BentoML itself
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import Response

from midigpt.fields import Flag, Text
from midigpt.inference.request import GenerationRequest
from midigpt.score import Score
from midigpt.server.names import NAME_PATTERN, NAME_RULE, is_name


def new_id() -> str:
    """An id for a request that came without one."""
    return uuid4().hex


def _or_new_id(value: object) -> object:
    return new_id() if value is None or value == "" else value


def _checked_id(value: str) -> str:
    if not is_name(value):
        raise PydanticCustomError("request_id", f"must be {NAME_RULE}")
    return value


RequestId = Annotated[
    Text,
    AfterValidator(_checked_id),
    BeforeValidator(_or_new_id),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": NAME_PATTERN}, {"type": "null"}]}),
]


class GenerateInput(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML has no types for it
    """The body of ``POST /generate``."""

    score: Annotated[Score, Field(description="the whole score")]
    request: Annotated[GenerationRequest, Field(description="what to write, and how")]
    request_id: Annotated[
        RequestId, Field(description=f"{NAME_RULE}; chosen by the server if left out")
    ] = Field(default_factory=new_id)
    stream: Annotated[Flag, Field(description="answer with server-sent events")] = False
    model: Annotated[
        Text | None, Field(description="id of a loaded model; the default model if left out")
    ] = None

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> "GenerateInput":  # noqa: ARG003 - BentoML's signature
        """The body that :class:`midigpt.server.intake.Intake` has read and checked already."""
        body = request.state.body
        assert isinstance(body, cls)  # noqa: S101 - nothing gets here but through Intake
        return body


class Streamed(IORootModel[str]):  # type: ignore[misc]  # as above
    """The answer of a streaming method: text, as BentoML's clients see it."""

    media_type = "text/event-stream"

    @classmethod
    async def to_http_response(cls, obj: AsyncIterator[Response], serde: object) -> Response:  # noqa: ARG003 - BentoML's signature
        """The response that the method has made: the only thing that it yields."""
        return await anext(obj)


class Health(BaseModel):
    """The answer of ``GET /health``."""

    status: Literal["ok"] = "ok"


class VerboseHealth(Health):
    """The answer of ``GET /health?verbose=1``."""

    inflight: Annotated[int, Field(description="requests waiting and running")]
    max_queue: int


class Capabilities(BaseModel):
    """What the model can be asked for."""

    note_density: bool
    min_polyphony: bool
    max_polyphony: bool
    min_note_duration: bool
    max_note_duration: bool
    tension: bool
    supports_token_mask: bool
    supports_attention_mask: bool
    supports_attention_approx: bool
    supports_attention_skip: bool
    supports_remove: bool
    supports_pitch_mask: bool
    pitch_mask_scale_presets: list[str]
    supports_rhythm_mask: bool
    rhythm_mask_grid_units: list[str]
    supports_remix: bool
    supports_streaming: bool
    model_dim_options: list[int]
    max_context_tokens: int
    switchable_velocity: bool
    switchable_microtiming: bool
    genres: list[str]


class Info(BaseModel):
    """The answer of ``GET /info``."""

    checkpoint: Annotated[str, Field(description="label of the loaded checkpoint")]
    capabilities: Capabilities
    attributes: Annotated[dict[str, int], Field(description="number of levels, by name")]
    model: str
    default_model: str
    attribute_track_types: dict[str, Literal["melodic", "drum", "both"]]
    attribute_levels: dict[str, Literal["track", "bar"]]
    resolution: Annotated[int, Field(description="ticks per quarter note of the model's grid")]
    decode_resolution: Annotated[int, Field(description="ticks per quarter note of results")]
    time_signatures: list[str]
    device: str
    precision: Annotated[str, Field(description="how the network's weights are held")]
    max_parallel: Annotated[int, Field(description="generations that run at the same time")]
    version: str


class ListedModel(BaseModel):
    """One loaded model."""

    id: str
    checkpoint: str


class Models(BaseModel):
    """The answer of ``GET /models``."""

    default_model: str
    models: list[ListedModel]


class Cancelling(BaseModel):
    """The answer of ``POST /generate/{request_id}/cancel``."""

    request_id: str
    status: Literal["cancelling"] = "cancelling"
