"""One request on one engine: planned when it is made, generated when it is run."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from midigpt.errors import GenerationCancelled, GenerationError
from midigpt.inference.events import Sinks
from midigpt.inference.filters import Filters
from midigpt.inference.fit import fit, refuse_what_never_fits
from midigpt.inference.loop import Counters, Loop
from midigpt.inference.plan import summary
from midigpt.inference.run import Result, Run
from midigpt.inference.steps import window_steps
from midigpt.inference.task import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midigpt.inference.engine import InferenceEngine
    from midigpt.inference.request import GenerationRequest
    from midigpt.score import Score


class SamplingSession:
    """A request made ready on an engine. The caller's score and request are never modified.

    Args:
        engine: the engine that will run it.
        score: the whole score.
        request: a validated request.
        warnings: what validation had to say.

    Attributes:
        cancel_event: set it, from any thread, to stop a run at the next token.
        part_ids: ids of the tracks that take part; steps count tracks in this order.
        resolved_seed: the seed in use.
        generated_bars: bars that will be written, by track id.
        warnings: what the caller should know about the request, and after a run about its result.
        dropped_context: ids of the tracks left out so that the prompt fits.
        truncated: whether the last run contains a step that ran out of tokens.
        sinks: who is told what happens during a run; candidates tell nothing but their attempts.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        score: Score,
        request: GenerationRequest,
        warnings: Sequence[str] = (),
    ) -> None:
        self._engine = engine
        self._score = score
        self._counters = Counters()
        task = Task.of(request, score, engine.language.tokenizer)
        self._fitted = fit(task, score, engine.language, engine.decoder)
        self._task = self._fitted.task
        self._splits = self._fitted.splits
        self.cancel_event = threading.Event()
        self.part_ids = [part.id for part in self._task.parts]
        self.resolved_seed = self._task.seed
        self.generated_bars = self._task.generated_bars
        self.dropped_context = self._fitted.dropped
        self.warnings = list(warnings)
        self.truncated = False
        self.sinks = Sinks()

    def run(self) -> Score:
        """Generate one result.

        Raises:
            GenerationError: no attempt was accepted, or no window fits.
            GenerationCancelled: ``cancel_event`` was set; holds the score so far.
        """
        ((_, result),) = self._generate(1)
        if isinstance(result, GenerationError):
            raise result
        if result.cancelled:
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
            GenerationCancelled: ``cancel_event`` was set; holds the candidates so far.
        """
        results = self._generate(self._task.config.num_candidates)
        candidates = [
            {
                "score": result.score if isinstance(result, Result) else None,
                "seed": run.seed,
                "gen_count": run.sampled,
                "error": None if isinstance(result, Result) else str(result),
                "truncated": isinstance(result, Result) and result.truncated,
            }
            for run, result in results
        ]
        if any(isinstance(result, Result) and result.cancelled for _, result in results):
            raise GenerationCancelled(candidates, self.gen_count)
        return candidates

    def check_room(self) -> None:
        """Refuse what would fail for want of room, before anything is generated.

        Raises:
            RequestValidationError: a prompt does not fit the context at any window, or leaves no
                room to write.
        """
        language, context = self._engine.language, self._engine.decoder.context
        refuse_what_never_fits(self._fitted, self._score, language, context)

    def plan_summary(self) -> list[dict[str, Any]]:
        """The steps a run will take, as JSON-ready data; nothing is generated."""
        bars = len(self._score.tracks[0].bars)
        steps = window_steps(self._task, self._task.window, self._splits, frozenset(), bars)
        return summary(steps, self.part_ids)

    @property
    def gen_count(self) -> int:
        """Tokens sampled in the run so far: all steps, all attempts, all rows."""
        return self._counters.sampled

    @property
    def attempt(self) -> int:
        """The attempt in progress, from 1."""
        return self._counters.attempt

    @property
    def context_len(self) -> int:
        """Tokens in the prompt of the current step."""
        return self._counters.prompt_tokens

    @property
    def max_context_len(self) -> int:
        """Positions of the network."""
        return self._engine.decoder.context

    def peak_window_tokens(self) -> int:
        """The longest prompt of the run together with what was sampled after it."""
        return self._counters.peak_tokens

    @property
    def model_forward_time(self) -> float:
        """Seconds of the run spent in the network."""
        return self._counters.forward_s

    @property
    def encode_time(self) -> float:
        """Seconds of the run spent on writing prompts."""
        return self._counters.encode_s

    @property
    def decode_time(self) -> float:
        """Seconds of the run spent on turning tokens into scores."""
        return self._counters.decode_s

    def _generate(self, candidates: int) -> list[tuple[Run, Result | GenerationError]]:
        self._counters = counters = Counters()
        language, decoder = self._engine.language, self._engine.decoder
        stop = self.cancel_event.is_set
        filters = Filters.of(self._task.config, language.tokenizer.vocabulary)
        runs = [
            Run(
                task=replace(self._task, seed=self.resolved_seed + index),
                score=self._score,
                splits=self._splits,
                language=language,
                context=decoder.context,
                counters=counters,
                cancelled=stop,
                sinks=self.sinks,
                warn=self.warnings.append,
            )
            for index in range(candidates)
        ]
        results = Loop(decoder, filters, stop, counters).run([run.candidate() for run in runs])
        self.truncated = any(isinstance(r, Result) and r.truncated for r in results)
        return list(zip(runs, results, strict=True))
