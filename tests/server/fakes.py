"""A model that writes nothing but takes its time about it, for tests of everything around it."""

import threading
import time
from dataclasses import dataclass, field

from midigpt.errors import GenerationError, RequestValidationError
from midigpt.server.config import Deployment, ModelEntry
from midigpt.server.failures import FailedRequests
from midigpt.server.metrics import Metrics
from midigpt.server.record import Books, Usage
from midigpt.server.results import GenerateOutput, PlannedStep, Progress, ProgressFrame
from midigpt.server.schemas import Capabilities, GenerateInput, Info

BODY = {
    "score": {"tracks": [{"bars": [{}, {}, {}, {}]}]},
    "request": {"tracks": [{"id": 0, "bars": [0]}]},
}


def books():
    """Books that nobody reads."""
    return Books(Metrics(["fake", "other"]), FailedRequests(None))


PROGRESS = Progress(
    generated_tokens=32,
    model_forward_s=0.5,
    context_tokens=10,
    step_generated_tokens=32,
    max_context_tokens=2048,
    attempt=1,
)


def body(**members):
    return GenerateInput.model_validate({**BODY, **members})


def deployed(*names, **limits):
    """A deployment of fake models."""
    models = tuple(ModelEntry(id=name, label=f"{name}.safetensors") for name in names or ["fake"])
    return Deployment(models=models, default_model=models[0].id, **limits)


def info(model="fake"):
    switches = {
        name: list if hint == list[str] else [4] if hint == list[int] else hint
        for name, hint in Capabilities.__annotations__.items()
    }
    values = {
        name: value if isinstance(value, list) else value() for name, value in switches.items()
    }
    return Info(
        checkpoint=f"{model}.safetensors",
        capabilities=Capabilities(**values),
        attributes={},
        model=model,
        default_model="fake",
        attribute_track_types={},
        attribute_levels={},
        resolution=12,
        decode_resolution=1920,
        time_signatures=["4/4"],
        device="cpu",
        precision="fp32",
        max_parallel=1,
        version="0",
    )


@dataclass
class FakePiece:
    model: "FakeModel"
    body: GenerateInput
    warnings: list

    def _output(self, status, **members):
        return GenerateOutput(
            request_id=self.body.request_id, model="fake", status=status, **members
        )

    def plan(self):
        step = PlannedStep(window=[0, 4], autoregressive=False, generate={0: [0]})
        return self._output("planned", plan=[step])

    def write(self, job, tell):
        if tell is not None:
            tell(ProgressFrame(progress=PROGRESS))
        self.model.written.append(job.id)
        self.model.started.set()
        if self.body.request_id == "broken":
            raise GenerationError("every attempt was rejected")
        if self.body.request_id == "bug":
            raise ZeroDivisionError
        while not self.model.go_on.wait(0.01):
            if job.stop.is_set():
                return self._output("cancelled", score=self.body.score, cancel_reason=job.reason)
        return self._output("completed", score=self.body.score, warnings=self.warnings)

    @property
    def usage(self):
        return Usage(tokens=5, prompt=100, reused=40)

    def unwritten(self, job):
        return self._output("cancelled", score=None, cancel_reason=job.reason)


@dataclass
class FakeModel:
    """Writes pieces as soon as ``go_on`` is set, until then it is busy with the first.

    As long as it is ``slow`` it does not come to an end with planning.
    """

    info: Info = field(default_factory=info)
    go_on: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    written: list = field(default_factory=list)
    slow: bool = False

    def piece(self, body, ignored, check):
        while self.slow:
            time.sleep(0.01)
            check()
        if not body.score.tracks:
            raise RequestValidationError("score has no tracks; send at least one")
        return FakePiece(self, body, ignored)
