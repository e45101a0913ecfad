"""What is remembered of a generation: metrics, a span, a line in the log, and what failed."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from midigpt.errors import GenerationError
from midigpt.server.failures import FailedRequests
from midigpt.server.metrics import Metrics
from midigpt.server.observe import generation_span, quoted

if TYPE_CHECKING:
    from midigpt.server.jobs import Job, JobQueue
    from midigpt.server.metrics import Outcome
    from midigpt.server.schemas import GenerateInput
    from midigpt.server.stream import Answer

logger = logging.getLogger("midigpt")


class Usage(NamedTuple):
    """What a generation has used so far.

    Attributes:
        tokens: generated, in all candidates and attempts.
        prompt: tokens of its prompts.
        reused: how many of these did not have to be computed again.
    """

    tokens: int
    prompt: int
    reused: int


@dataclass(frozen=True)
class Books:
    """Where it is all written down.

    Attributes:
        metrics: of this process.
        failures: requests that failed.
    """

    metrics: Metrics
    failures: FailedRequests

    def queue(self, jobs: JobQueue) -> None:
        """The queue has changed."""
        waiting = jobs.waiting
        self.metrics.queue(waiting, max(0, jobs.inflight - waiting))


class Record:
    """One generation, from its admission to its end.

    Args:
        books: where it is written down.
        model: id of the model.
        body: the request.
    """

    def __init__(self, books: Books, model: str, body: GenerateInput) -> None:
        self._books = books
        self._model = model
        self._body = body
        self._began = 0.0
        self._open = ExitStack()
        self._span = self._open.enter_context(generation_span(model))

    def began(self, job: Job[Answer]) -> None:
        """Its turn has come."""
        self._began = time.monotonic()
        self._books.metrics.waited(self._model, job.waited)

    def ended(self, job: Job[Answer], usage: Usage) -> None:
        """It has ended, whether its turn had come or not."""
        error = None if job.answer.cancelled() else job.answer.exception()
        outcome: Outcome = "failed"
        if error is None:
            completed = not job.answer.cancelled() and job.answer.result().completed
            outcome = "completed" if completed else "cancelled"
            self._span.ended(outcome, tokens=usage.tokens, waited=job.waited)
        if isinstance(error, GenerationError):
            self._books.failures.record(self._body, str(error))
        self._write(job, usage, outcome)
        self._open.__exit__(type(error) if error else None, error, None)

    def _write(self, job: Job[Answer], usage: Usage, outcome: Outcome) -> None:
        seconds = time.monotonic() - self._began if self._began else 0.0
        reason = job.reason if outcome == "cancelled" else None
        self._books.metrics.generated(
            self._model,
            outcome,
            reason=reason,
            tokens=usage.tokens,
            seconds=seconds,
            prompt=usage.prompt,
            reused=usage.reused,
        )
        logger.info(
            "generation model=%s outcome=%s reason=%s waited=%.3f seconds=%.3f tokens=%d prompt=%d "
            "reused=%d request_id=%s",
            quoted(self._model),
            outcome,
            reason or "none",
            job.waited,
            seconds,
            *usage,
            quoted(job.id),
        )
