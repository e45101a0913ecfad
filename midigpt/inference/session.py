"""One request on one engine: planned when it is made, generated when it is run."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from midigpt.errors import GenerationCancelled, GenerationError
from midigpt.inference.counters import Counted, Counters
from midigpt.inference.events import (
    AttemptSink,
    NoteSink,
    ProgressSink,
    PromptStateSink,
    RetrySink,
    Sinks,
)
from midigpt.inference.filters import Filters
from midigpt.inference.fit import fit, refuse_what_never_fits
from midigpt.inference.loop import Loop
from midigpt.inference.plan import summary
from midigpt.inference.pool import StoppedWaiting
from midigpt.inference.replay import score_from_tokens
from midigpt.inference.run import Result, Run
from midigpt.inference.steps import window_steps
from midigpt.inference.task import Task
from midigpt.inference.token_log import TokenLogger
from midigpt.model.device import at_most

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self

    from midigpt.inference.engine import InferenceEngine
    from midigpt.inference.plan import Step
    from midigpt.inference.request import GenerationRequest
    from midigpt.score import Score


logger = logging.getLogger("midigpt")

__all__ = ["SamplingSession", "TokenLogger"]

CANCELLED = "cancelled"
"""The error of a candidate that was told to stop."""


class SamplingSession(Counted):
    """A request made ready on an engine. The caller's score and request are never modified.

    Args:
        engine: the engine that will run it.
        score: the whole score.
        request: a validated request.
        warnings: what validation had to say.
        check: called every few milliseconds of work; what it raises ends the work.

    Attributes:
        cancel_event: set it, from any thread, to stop a run at the next token.
        part_ids: ids of the tracks that take part; steps count tracks in this order.
        resolved_seed: the seed in use.
        generated_bars: bars that will be written, by track id.
        warnings: what the caller should know about the request, and after a run about its result.
        dropped_context: ids of the tracks left out so that the prompt fits.
        truncated: whether the last run contains a step that ran out of tokens.
        note_sink: told new notes while :meth:`run` runs; this and the others are described at
            :class:`midigpt.inference.events.Sinks`.
        progress_sink: told that it goes on.
        retry_sink: told that a step starts over.
        prompt_state_sink: told what the first step shows the model.
        attempt_sink: told every attempt, those of candidates too.
        token_logger: told every token, those of candidates too.
        enable_profiling: may be set and changes nothing: timings are always taken.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        score: Score,
        request: GenerationRequest,
        warnings: Sequence[str] = (),
        check: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._engine = engine
        self._score = score
        task = Task.of(request, score, engine.language.tokenizer)
        self._fitted = fit(task, score, engine.language, engine.decoder, check)
        self._task = self._fitted.task
        self._splits = self._fitted.splits
        self.cancel_event = threading.Event()
        self.part_ids = [part.id for part in self._task.parts]
        self.resolved_seed = self._task.seed
        self.generated_bars = self._task.generated_bars
        self.dropped_context = self._fitted.dropped
        self._advice = list(warnings)
        self.warnings = list(warnings)
        self.truncated = False
        self.note_sink: NoteSink | None = None
        self.progress_sink: ProgressSink | None = None
        self.retry_sink: RetrySink | None = None
        self.prompt_state_sink: PromptStateSink | None = None
        self.attempt_sink: AttemptSink | None = None
        self.token_logger: TokenLogger | None = None
        self.enable_profiling = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to give back: a session borrows only while it runs."""

    def run(self) -> Score:
        """Generate one result.

        Raises:
            GenerationError: no attempt was accepted, or no window fits.
            GenerationCancelled: ``cancel_event`` was set, even if only with the last token; holds
                the score so far, or None if nothing was sampled.
        """
        sinks = Sinks(
            note_sink=self.note_sink,
            progress_sink=self.progress_sink,
            retry_sink=self.retry_sink,
            prompt_state_sink=self.prompt_state_sink,
            attempt_sink=self.attempt_sink,
            token_logger=self.token_logger,
        )
        ((_, result),) = self._generate(1, sinks)
        if isinstance(result, GenerationError):
            raise result
        if result.score is None or result.cancelled or self.cancel_event.is_set():
            raise GenerationCancelled(result.score, self.gen_count)
        return result.score

    def run_variations(self) -> list[dict[str, Any]]:
        """Generate ``num_candidates`` results side by side.

        Candidate i is what :meth:`run` gives for the seed plus i, as long as that does not change
        which bars ``infill_probability`` picks.

        Returns:
            One object per candidate, in the order of the seeds: ``score`` (None if it failed),
            ``seed``, ``gen_count``, ``error`` (None if it did not fail) and ``truncated``.

        Raises:
            GenerationCancelled: ``cancel_event`` was set before all had finished; holds the same
                list, in which the ``error`` of the others is ``"cancelled"`` and their ``score``
                as far as it got, or None if nothing was sampled for it.
        """
        sinks = Sinks(attempt_sink=self.attempt_sink, token_logger=self.token_logger)
        results = self._generate(self._task.config.num_candidates, sinks)
        candidates = [_candidate(run, result) for run, result in results]
        if any(candidate["error"] == CANCELLED for candidate in candidates):
            raise GenerationCancelled(candidates, self.gen_count)
        return candidates

    def check_room(self, check: Callable[[], None] = lambda: None) -> None:
        """Refuse what would fail for want of room, before anything is generated.

        Args:
            check: called every few milliseconds of work; what it raises ends the work.

        Raises:
            RequestValidationError: a prompt does not fit the context at any window, or leaves no
                room to write.
        """
        tokenizer, context = self._engine.language.tokenizer, self._engine.decoder.context
        refuse_what_never_fits(self._fitted, tokenizer, context, check)

    def plan_summary(self) -> list[dict[str, Any]]:
        """The steps a run will take, as JSON-ready data; nothing is generated."""
        return summary(self._planned(), self.part_ids)

    def score_from_tokens(
        self, token_ids: Sequence[int], step_idx: int = 0, use_velocity: int = -1
    ) -> dict[str, Any]:
        """How likely the network finds these tokens after the prompt of a planned step.

        Args:
            token_ids: what follows the prompt.
            step_idx: the step, as in :meth:`plan_summary`; nothing is scored if there is no such.
            use_velocity: 0 to tell the prompt without velocities.

        Returns:
            See :func:`midigpt.inference.replay.score_from_tokens`.
        """
        steps = self._planned()
        with self._engine.decoders.lend() as decoder:
            return score_from_tokens(
                token_ids,
                steps[step_idx] if 0 <= step_idx < len(steps) else None,
                task=self._task,
                score=self._score,
                language=self._engine.language,
                decoder=decoder,
                velocity=use_velocity != 0,
            )

    def _add_warning(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)
            logger.warning("%s", warning)

    def _planned(self) -> list[Step]:
        bars = len(self._score.tracks[0].bars)
        return window_steps(self._task, self._task.window, self._splits, frozenset(), bars)

    @property
    def max_context_len(self) -> int:
        """Positions of the network."""
        return self._engine.decoder.context

    def _generate(
        self, candidates: int, sinks: Sinks
    ) -> list[tuple[Run, Result | GenerationError]]:
        self._counters = counters = Counters()
        self.warnings = list(self._advice)
        stop = self.cancel_event.is_set
        filters = Filters.of(self._task.config, self._engine.language.tokenizer.vocabulary)
        runs = [self._candidate_run(index, counters, sinks) for index in range(candidates)]
        results: Sequence[Result | GenerationError]
        try:
            with self._engine.decoders.lend(stop) as decoder, at_most(decoder.threads):
                loop = Loop(decoder, filters, stop, counters)
                results = loop.run([run.candidate() for run in runs])
        except StoppedWaiting:
            results = [Result(None, truncated=False, cancelled=True)] * candidates
        self.truncated = any(isinstance(r, Result) and r.truncated for r in results)
        return list(zip(runs, results, strict=True))

    def _candidate_run(self, index: int, counters: Counters, sinks: Sinks) -> Run:
        return Run(
            task=replace(self._task, seed=self.resolved_seed + index),
            score=self._score,
            splits=self._splits,
            language=self._engine.language,
            context=self._engine.decoder.context,
            counters=counters,
            cancelled=self.cancel_event.is_set,
            sinks=sinks,
            warn=self._add_warning,
        )


def _candidate(run: Run, result: Result | GenerationError) -> dict[str, Any]:
    """A candidate as :meth:`SamplingSession.run_variations` tells it."""
    told = {"score": None, "seed": run.seed, "gen_count": run.sampled, "truncated": False}
    if isinstance(result, GenerationError):
        return told | {"error": str(result)}
    error = CANCELLED if result.cancelled else None
    return told | {"score": result.score, "error": error, "truncated": result.truncated}
