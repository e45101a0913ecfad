"""What ``POST /generate`` answers: results, plans, and the frames of a stream."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from midigpt.score import Score

CancelReason = Literal["client", "time_limit", "disconnect", "shutdown"]


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


class Candidate(BaseModel):
    """One of several results."""

    score: Annotated[
        Score | None, Field(description="the whole score; null if there is nothing of it")
    ]
    seed: Annotated[int, Field(description="alone, it gives the same score")]
    gen_count: Annotated[int, Field(description="tokens generated")]
    error: Annotated[str | None, Field(description="why it failed; null if it did not")]
    truncated: Annotated[bool, Field(description="whether a step ran out of room")]


class Failure(BaseModel):
    """A candidate that failed."""

    seed: int
    reason: str


class Summary(BaseModel):
    """What became of the candidates."""

    requested: int
    succeeded: int
    failed: int
    cancelled: int
    failures: list[Failure]


class GenerateOutput(BaseModel):
    """The answer of ``POST /generate``.

    Which members it has depends on what was asked for: ``score``, ``seed`` and ``attempts`` belong
    to one result, ``base_seed``, ``candidates`` and ``summary`` to several, ``model_dim`` and
    ``plan`` to a plan.
    """

    request_id: str
    model: str
    status: Literal["completed", "cancelled", "planned"]
    score: Annotated[
        Score | None, Field(description="the whole score, at a resolution of its own")
    ] = None
    seed: Annotated[int, Field(description="sent again, it gives the same score")] = -1
    base_seed: Annotated[int, Field(description="seed of the first candidate")] = -1
    candidates: Annotated[list[Candidate], Field(description="in the order of their seeds")] = []
    summary: Summary | None = None
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
    cancel_reason: CancelReason | None = None
    queue_s: Annotated[float, Field(description="seconds spent waiting")] = 0.0
    model_dim: Annotated[int, Field(description="window of the plan, in bars")] = 0
    plan: list[PlannedStep] = []


class Progress(BaseModel):
    """How far a generation is."""

    generated_tokens: int
    model_forward_s: float
    context_tokens: Annotated[int, Field(description="tokens of the prompt of this step")]
    step_generated_tokens: Annotated[int, Field(description="tokens of this attempt")]
    max_context_tokens: int
    attempt: Annotated[int, Field(description="the attempt in progress, from 1")]


class StreamedNote(BaseModel):
    """A new note; track and bar are the request's, ticks are in the answer's resolution."""

    track: int
    bar: int
    pitch: int
    onset_ticks: int
    duration_ticks: int
    velocity: int
    delta: int


class QueuedFrame(BaseModel):
    """Others are first."""

    type: Literal["queued"] = "queued"
    request_id: str
    position: Annotated[int, Field(description="place in line, from 1")]


class NotesFrame(BaseModel):
    """New notes."""

    type: Literal["notes"] = "notes"
    notes: list[StreamedNote]
    progress: Progress


class ProgressFrame(BaseModel):
    """Tokens came, but no notes."""

    type: Literal["progress"] = "progress"
    progress: Progress


class RetryFrame(BaseModel):
    """A step is done once more: notes streamed for these bars are void."""

    type: Literal["retry"] = "retry"
    attempt: Annotated[
        int,
        Field(description="number of the attempt that starts; 1 if it is one in a smaller window"),
    ]
    bars: Annotated[dict[int, list[int]], Field(description="by track id")]


class EndFrame(BaseModel):
    """The last frame of a generation that ended well, or was told to stop."""

    type: Literal["done", "cancelled"]
    response: GenerateOutput


class ErrorFrame(BaseModel):
    """The last frame of a generation that failed."""

    type: Literal["error"] = "error"
    request_id: str
    error: str
    detail: str
    code: str
    status: int


Frame = QueuedFrame | NotesFrame | ProgressFrame | RetryFrame | EndFrame | ErrorFrame
