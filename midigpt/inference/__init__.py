"""Generation: from a request to a finished score.

The story of a request, by module. It is read (``request``), checked against the score and the
checkpoint (``validate``), and becomes a ``task``. Its steps are planned (``plan``, ``steps``) and
made to ``fit`` the context of the model, as their ``sizes`` allow. Then a ``session`` may generate:
a ``run`` for each candidate takes one step after the other on a ``draft`` of the score. A step
shows the model a ``prompt``; the ``loop`` samples what follows, as far as the ``rules`` and the
request's ``filters`` let it; what comes out is judged (``checks``) and goes into the draft. All of
it happens on an ``engine``, which has the checkpoint and lends its decoders.
"""

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
