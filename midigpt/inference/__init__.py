"""Generation: requests, plans, steps and the engine that runs them."""

from typing import TYPE_CHECKING, Any

from midigpt.errors import GenerationCancelled, GenerationError, RequestValidationError
from midigpt.inference.request import GenerationRequest, InferenceConfig, TrackPrompt
from midigpt.inference.validate import validate_request

if TYPE_CHECKING:
    from midigpt.inference.engine import InferenceEngine
    from midigpt.inference.session import SamplingSession

__all__ = [
    "GenerationCancelled",
    "GenerationError",
    "GenerationRequest",
    "InferenceConfig",
    "InferenceEngine",
    "RequestValidationError",
    "SamplingSession",
    "TrackPrompt",
    "validate_request",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type of a module member
    """Load what needs torch on first use: whoever only reads requests starts without it."""
    if name == "InferenceEngine":
        from midigpt.inference.engine import InferenceEngine  # noqa: PLC0415 - imports torch

        return InferenceEngine
    if name == "SamplingSession":
        from midigpt.inference.session import SamplingSession  # noqa: PLC0415 - imports torch

        return SamplingSession
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
