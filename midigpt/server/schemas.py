"""What clients send and get, as the documentation and the generated clients know it."""

import re
from typing import Annotated, Literal
from uuid import uuid4

import bentoml
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from midigpt.fields import Flag, Text
from midigpt.inference.request import GenerationRequest
from midigpt.score import Score

_ID = r"[A-Za-z0-9._:~-]{1,128}"
_ID_RULE = "1 to 128 characters of A-Z a-z 0-9 . _ : ~ -, and not . or .."


def new_id() -> str:
    """An id for a request that came without one."""
    return uuid4().hex


def is_request_id(value: object) -> bool:
    """Whether a client may use this as the id of a request."""
    return (
        isinstance(value, str) and re.fullmatch(_ID, value) is not None and value not in {".", ".."}
    )


def _or_new_id(value: object) -> object:
    return new_id() if value is None or value == "" else value


def _checked_id(value: str) -> str:
    if not is_request_id(value):
        raise PydanticCustomError("request_id", f"must be {_ID_RULE}")
    return value


RequestId = Annotated[
    Text,
    AfterValidator(_checked_id),
    BeforeValidator(_or_new_id),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_ID}$"}, {"type": "null"}]}),
]


class GenerateInput(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML has no types for it
    """The body of ``POST /generate``."""

    score: Annotated[Score, Field(description="the whole score")]
    request: Annotated[GenerationRequest, Field(description="what to write, and how")]
    request_id: Annotated[
        RequestId, Field(description=f"{_ID_RULE}; chosen by the server if left out")
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


class Timing(BaseModel):
    """Where the time went."""

    model_forward_s: float
    encode_s: float
    decode_s: float
    gen_count: Annotated[int, Field(description="tokens generated")]


class Tokens(BaseModel):
    """How much of the model's context was used."""

    context_tokens: Annotated[int, Field(description="tokens of the last prompt")]
    generated_tokens: int
    peak_context_tokens: int
    max_context_tokens: int
    context_utilization: float | None
    tokens_per_second: float | None
    truncated: Annotated[bool, Field(description="whether a step ran out of room")]


class PlannedStep(BaseModel):
    """One step of a plan."""

    window: Annotated[list[int], Field(description="its first bar, and one past its last")]
    autoregressive: bool
    generate: Annotated[dict[int, list[int]], Field(description="bars it writes, by track id")]


class GenerateOutput(BaseModel):
    """The answer of ``POST /generate``; which members it has depends on ``status``."""

    request_id: str
    model: str
    status: Literal["completed", "cancelled", "planned"]
    score: Annotated[
        Score | None, Field(description="the whole score, at a resolution of its own")
    ] = None
    seed: Annotated[int, Field(description="sent again, it gives the same score")] = -1
    generated_bars: Annotated[
        dict[int, list[int]], Field(description="bars written, by track id")
    ] = {}
    dropped_context: Annotated[
        list[int], Field(description="ids of the tracks left out so that the prompt fits")
    ] = []
    timing: Timing | None = None
    tokens: Tokens | None = None
    attempts: Annotated[int, Field(description="attempts used by the last step")] = 0
    warnings: list[str] = []
    cancel_reason: Literal["client", "time_limit", "disconnect", "shutdown"] | None = None
    queue_s: Annotated[float, Field(description="seconds spent waiting")] = 0.0
    model_dim: Annotated[int, Field(description="window of the plan, in bars")] = 0
    plan: list[PlannedStep] = []


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


class Problem(BaseModel):
    """Every error."""

    detail: Annotated[str, Field(description="what is wrong, and what is accepted")]
    code: str
    path: Annotated[str, Field(description="the offending member, if there is one")] = ""
    request_id: Annotated[str, Field(description="id of the request, if known")] = ""
