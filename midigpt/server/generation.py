"""A checkpoint as the server sees it. The only module of the server that imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from midigpt.errors import GenerationCancelled
from midigpt.inference.engine import InferenceEngine
from midigpt.inference.session import SamplingSession
from midigpt.model import hub, resolve_device
from midigpt.server.capabilities import describe
from midigpt.server.schemas import (
    GenerateInput,
    GenerateOutput,
    Info,
    PlannedStep,
    Timing,
    Tokens,
)

if TYPE_CHECKING:
    from midigpt.score import Score
    from midigpt.server.jobs import Job
    from midigpt.server.settings import Settings


@dataclass(frozen=True)
class LoadedModel:
    """An engine with its name and description."""

    engine: InferenceEngine
    info: Info

    @classmethod
    def load(cls, settings: Settings) -> LoadedModel:
        """Load and warm up the model that the settings name.

        Raises:
            MidiGPTError: the checkpoint or the device is not there or of no use.
        """
        path = settings.path
        if settings.pretrained:
            repo = settings.hf_repo or hub.DEFAULT_REPO
            filename = settings.hf_filename or None
            path = hub.resolve(settings.pretrained, repo=repo, filename=filename)
        device = resolve_device(settings.device)
        engine = InferenceEngine.from_checkpoint(path, device=device)
        return cls(engine, describe(engine, *names(settings), device=str(device)))

    def piece(self, body: GenerateInput, ignored: list[str]) -> AcceptedPiece:
        """Validate a request and plan it.

        Raises:
            RequestValidationError: it cannot be carried out.
        """
        session = self.engine.session(body.score, body.request)
        session.check_room()
        return AcceptedPiece(self.info.model, body, ignored, session)


def names(settings: Settings) -> tuple[str, str]:
    """Id and label of the model that the settings name."""
    name = settings.pretrained
    if not name:
        path = settings.path.resolve()
        id_ = path.name if path.is_dir() else path.stem
        return id_, settings.ckpt or id_
    if "/" in name:
        return PurePath(settings.hf_filename).stem, f"{name}/{settings.hf_filename}"
    other = settings.hf_repo not in {"", hub.DEFAULT_REPO}
    return name, f"{settings.hf_repo}/{name}" if other else name


@dataclass(frozen=True)
class AcceptedPiece:
    """A request that has been validated and planned."""

    model: str
    body: GenerateInput
    ignored: list[str]
    session: SamplingSession

    def plan(self) -> GenerateOutput:
        """The steps it would take."""
        steps = self.session.plan_summary()
        return GenerateOutput(
            request_id=self.body.request_id,
            model=self.model,
            status="planned",
            model_dim=steps[0]["window"][1] - steps[0]["window"][0],
            plan=[PlannedStep(**step) for step in steps],
            dropped_context=self.session.dropped_context,
            warnings=[*self.ignored, *self.session.warnings],
        )

    def write(self, job: Job[bytes]) -> GenerateOutput:
        """Generate, looking at ``job.stop`` between tokens.

        Raises:
            GenerationError: it failed.
        """
        self.session.cancel_event = job.stop
        try:
            score = self.session.run()
        except GenerationCancelled as cancelled:
            return self._output(job, cancelled.partial)
        return self._output(job, score, completed=True)

    def unwritten(self, job: Job[bytes]) -> GenerateOutput:
        """The answer if it was cancelled before its turn."""
        return self._output(job, None)

    def _output(
        self, job: Job[bytes], score: Score | None, *, completed: bool = False
    ) -> GenerateOutput:
        session = self.session
        ending: dict[str, Any] = {"status": "completed"}
        if not completed:
            ending = {"status": "cancelled", "cancel_reason": job.reason}
        return GenerateOutput(
            request_id=self.body.request_id,
            model=self.model,
            score=score,
            seed=session.resolved_seed,
            generated_bars=session.generated_bars,
            dropped_context=session.dropped_context,
            timing=_timing(session),
            tokens=_tokens(session),
            attempts=session.attempt,
            warnings=[*self.ignored, *session.warnings],
            queue_s=round(job.waited, 3),
            **ending,
        )


def _timing(session: SamplingSession) -> Timing:
    return Timing(
        model_forward_s=round(session.model_forward_time, 4),
        encode_s=round(session.encode_time, 4),
        decode_s=round(session.decode_time, 4),
        gen_count=session.gen_count,
    )


def _tokens(session: SamplingSession) -> Tokens:
    seconds = session.model_forward_time
    return Tokens(
        context_tokens=session.context_len,
        generated_tokens=session.gen_count,
        peak_context_tokens=session.peak_window_tokens(),
        max_context_tokens=session.max_context_len,
        context_utilization=round(session.context_len / session.max_context_len, 3),
        tokens_per_second=round(session.gen_count / seconds, 2) if seconds else None,
        truncated=session.truncated,
    )
