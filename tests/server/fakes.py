"""A model that writes nothing but takes its time about it, for tests of everything around it."""

import threading
from dataclasses import dataclass, field

from midigpt.errors import GenerationError, RequestValidationError
from midigpt.server.schemas import Capabilities, GenerateInput, GenerateOutput, Info, PlannedStep

BODY = {
    "score": {"tracks": [{"bars": [{}, {}, {}, {}]}]},
    "request": {"tracks": [{"id": 0, "bars": [0]}]},
}


def body(**members):
    return GenerateInput.model_validate({**BODY, **members})


def info():
    switches = {
        name: list if hint == list[str] else [4] if hint == list[int] else hint
        for name, hint in Capabilities.__annotations__.items()
    }
    values = {
        name: value if isinstance(value, list) else value() for name, value in switches.items()
    }
    return Info(
        checkpoint="fake.safetensors",
        capabilities=Capabilities(**values),
        attributes={},
        model="fake",
        default_model="fake",
        attribute_track_types={},
        attribute_levels={},
        resolution=12,
        decode_resolution=1920,
        time_signatures=["4/4"],
        device="cpu",
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

    def write(self, job):
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

    def unwritten(self, job):
        return self._output("cancelled", score=None, cancel_reason=job.reason)


@dataclass
class FakeModel:
    """Writes pieces as soon as ``go_on`` is set, until then it is busy with the first."""

    info: Info = field(default_factory=info)
    go_on: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    written: list = field(default_factory=list)

    def piece(self, body, ignored):
        if not body.score.tracks:
            raise RequestValidationError("score has no tracks; send at least one")
        return FakePiece(self, body, ignored)
