"""A checkpoint as the server sees it. The only module of the server that imports torch."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from midigpt.errors import GenerationCancelled
from midigpt.inference.engine import InferenceEngine
from midigpt.inference.session import CANCELLED, SamplingSession
from midigpt.model import hub, resolve_device
from midigpt.server.capabilities import describe
from midigpt.server.record import Usage
from midigpt.server.results import (
    Candidate,
    Failure,
    GenerateOutput,
    NotesFrame,
    PlannedStep,
    Progress,
    ProgressFrame,
    RetryFrame,
    StreamedNote,
    Summary,
    Timing,
    Tokens,
)
from midigpt.server.schemas import GenerateInput, Info

if TYPE_CHECKING:
    from collections.abc import Callable

    from midigpt.score import Score
    from midigpt.server.config import ModelEntry
    from midigpt.server.jobs import Job
    from midigpt.server.stream import Tell

_THREADS = torch.get_num_threads()
"""How many compute, where nobody says that fewer should."""

_MOST_TOLD = 20
"""Warnings about one request; a score may have something odd in every bar."""


@dataclass(frozen=True)
class LoadedModel:
    """An engine with its name and description."""

    engine: InferenceEngine
    info: Info

    @classmethod
    def load(cls, entry: ModelEntry, default_model: str) -> LoadedModel:
        """Load and warm up a model.

        Args:
            entry: which one.
            default_model: id of the one that requests get if they name none.

        Raises:
            MidiGPTError: the checkpoint or the device is not there or of no use.
        """
        path = entry.path
        if entry.pretrained:
            path = hub.resolve(
                entry.pretrained,
                repo=entry.hf_repo or hub.DEFAULT_REPO,
                filename=entry.hf_filename or None,
                token=entry.hf_token,
            )
        device = resolve_device(entry.device)
        engine = InferenceEngine.from_checkpoint(
            path,
            device=device,
            parallel=entry.max_parallel,
            precision=None if entry.precision == "auto" else entry.precision,
        )
        return cls(engine, describe(engine, entry, default_model, device=str(device)))

    def piece(
        self, body: GenerateInput, ignored: list[str], check: Callable[[], None]
    ) -> AcceptedPiece:
        """Validate a request and plan it; ``check`` is called now and then.

        Raises:
            RequestValidationError: it cannot be carried out.
        """
        session = self.engine.session(body.score, body.request, check)
        session.check_room(check)
        return AcceptedPiece(self.info.model, body, ignored, session)


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
            warnings=self._warnings,
        )

    def write(self, job: Job[Any], tell: Tell | None) -> GenerateOutput:
        """Generate, looking at ``job.stop`` between tokens and telling notes as they come.

        Raises:
            GenerationError: it failed.
        """
        # another model's run may have had fewer when this thread began
        torch.set_num_threads(_THREADS)
        self.session.cancel_event = job.stop
        if self._several:
            try:
                candidates = self.session.run_variations()
            except GenerationCancelled as cancelled:
                return self._several_results(job, cancelled.partial)
            return self._several_results(job, candidates)
        if tell is not None:
            Teller(self.session, tell)
        try:
            score = self.session.run()
        except GenerationCancelled as cancelled:
            return self._one_result(job, cancelled.partial)
        return self._one_result(job, score, completed=True)

    def unwritten(self, job: Job[Any]) -> GenerateOutput:
        """The answer if it was cancelled before its turn."""
        if not self._several:
            return self._one_result(job, None)
        seeds = range(self.body.request.config.num_candidates)
        nothing = {"score": None, "gen_count": 0, "error": CANCELLED, "truncated": False}
        base = self.session.resolved_seed
        return self._several_results(job, [{**nothing, "seed": base + i} for i in seeds])

    @property
    def _warnings(self) -> list[str]:
        """Those about members that mean nothing, and the first of the others."""
        told = self.session.warnings
        more = len(told) - _MOST_TOLD
        return [*self.ignored, *told[:_MOST_TOLD]] + ([f"{more} more warnings"] if more > 0 else [])

    @property
    def usage(self) -> Usage:
        """What writing has used so far."""
        session = self.session
        reused = session.prompt_tokens_reused
        return Usage(session.gen_count, session.prompt_tokens_read + reused, reused)

    @property
    def _several(self) -> bool:
        return self.body.request.config.num_candidates > 1

    def _one_result(
        self, job: Job[Any], score: Score | None, *, completed: bool = False
    ) -> GenerateOutput:
        return self._output(
            job,
            completed=completed,
            score=score,
            seed=self.session.resolved_seed,
            attempts=self.session.attempt,
        )

    def _several_results(self, job: Job[Any], results: list[dict[str, Any]]) -> GenerateOutput:
        candidates = [Candidate(**result) for result in results]
        failures = [
            Failure(seed=candidate.seed, reason=candidate.error)
            for candidate in candidates
            if candidate.error not in {None, CANCELLED}
        ]
        cancelled = sum(candidate.error == CANCELLED for candidate in candidates)
        summary = Summary(
            requested=len(candidates),
            succeeded=len(candidates) - len(failures) - cancelled,
            failed=len(failures),
            cancelled=cancelled,
            failures=failures,
        )
        return self._output(
            job,
            completed=not cancelled,
            base_seed=self.session.resolved_seed,
            candidates=candidates,
            summary=summary,
        )

    def _output(self, job: Job[Any], *, completed: bool, **members: Any) -> GenerateOutput:  # noqa: ANN401 - members of the output
        session = self.session
        if not completed:
            members["cancel_reason"] = job.reason
        return GenerateOutput(
            request_id=self.body.request_id,
            model=self.model,
            status="completed" if completed else "cancelled",
            generated_bars=session.generated_bars,
            dropped_context=session.dropped_context,
            timing=_timing(session),
            tokens=_tokens(session),
            warnings=self._warnings,
            queue_s=round(job.waited, 3),
            **members,
        )


class Teller:
    """Tells a stream what a session tells its sinks; sets itself as their listener.

    Args:
        session: the session, before it runs.
        tell: sends a frame.
    """

    def __init__(self, session: SamplingSession, tell: Tell) -> None:
        # held loosely, since the session holds this: neither would be forgotten when both are done
        self._session: SamplingSession = weakref.proxy(session)
        self._tell = tell
        self._silent = True
        session.note_sink = self._notes
        session.progress_sink = self._progress
        session.retry_sink = self._retry

    def _notes(self, notes: list[dict[str, int]]) -> None:
        self._silent = False
        streamed = [StreamedNote(**note) for note in notes]
        self._tell(NotesFrame(notes=streamed, progress=_progress(self._session)))

    def _progress(self) -> None:
        if self._silent:
            self._tell(ProgressFrame(progress=_progress(self._session)))
        self._silent = True

    def _retry(self, attempt: int, bars: dict[int, list[int]]) -> None:
        self._tell(RetryFrame(attempt=attempt, bars=bars))


def _progress(session: SamplingSession) -> Progress:
    return Progress(
        generated_tokens=session.gen_count,
        model_forward_s=round(session.model_forward_time, 4),
        context_tokens=session.context_len,
        step_generated_tokens=session.gen_count - session.step_gen_start,
        max_context_tokens=session.max_context_len,
        attempt=session.attempt,
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
