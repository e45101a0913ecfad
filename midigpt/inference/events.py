"""What a run tells while it runs: notes as they come, progress, and steps that start over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from midigpt.inference.plan import Cell, Step
from midigpt.inference.row import Row
from midigpt.inference.token_log import RunLog, TokenLogger

if TYPE_CHECKING:
    from midigpt.inference.rules import Mask
    from midigpt.inference.task import Task
    from midigpt.tokens import Tokenizer

logger = logging.getLogger("midigpt")

INTERVAL = 0.25
"""Seconds between two looks at what has been sampled."""

PROGRESS = 32
"""Tokens between two reports of progress."""

NoteSink = Callable[[list[dict[str, int]]], None]
ProgressSink = Callable[[], None]
RetrySink = Callable[[int, dict[int, list[int]]], None]
PromptStateSink = Callable[[dict[str, Any]], None]
AttemptSink = Callable[[Step, Row], None]


@dataclass(slots=True)
class Sinks:
    """Who is told. All are called on the thread of the run; what they raise ends it.

    Attributes:
        note_sink: new notes, as dictionaries of track id, bar, pitch, onset and duration in ticks
            of the answer, velocity and delta.
        progress_sink: called every 32 tokens.
        retry_sink: the number of the attempt that starts, and the bars by track id whose notes are
            void; the number is 1 where the bars will be written in a smaller window.
        prompt_state_sink: what the first step shows the model. What it raises is logged.
        attempt_sink: every attempt when it has ended, accepted or not.
        token_logger: gets every token, with what could have come instead.
    """

    note_sink: NoteSink | None = None
    progress_sink: ProgressSink | None = None
    retry_sink: RetrySink | None = None
    prompt_state_sink: PromptStateSink | None = None
    attempt_sink: AttemptSink | None = None
    token_logger: TokenLogger | None = None


class Telling:
    """Tells one candidate's story to the sinks.

    Args:
        sinks: who is told.
        task: what is being done.
        tokenizer: the tokenizer of the checkpoint.
        clock: seconds.
    """

    def __init__(
        self,
        sinks: Sinks,
        task: Task,
        tokenizer: Tokenizer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sinks = sinks
        self._task = task
        self._tokenizer = tokenizer
        self._types = tokenizer.vocabulary.types
        self._log = (
            RunLog(sinks.token_logger, task, tokenizer) if sinks.token_logger is not None else None
        )
        self._clock = clock
        self._looked = -INTERVAL
        self._told: dict[Cell, int] = {}
        self._tokens = 0
        self._stated = False

    @property
    def tells_notes(self) -> bool:
        """Whether anybody is told notes as they come."""
        return self._sinks.note_sink is not None

    def step_begins(self, step: Step) -> None:
        """Before the first attempt at a step."""
        if self._sinks.prompt_state_sink is None or self._stated:
            return
        self._stated = True
        try:
            self._sinks.prompt_state_sink(prompt_state(self._task, step))
        except Exception:
            logger.exception("the prompt state sink failed")

    def attempt_begins(self, step: Step, attempt: int) -> None:
        """Before an attempt, counted from 0."""
        self._told = dict.fromkeys(step.targets, 0)
        if attempt:
            self._void(step, attempt + 1)

    def step_is_put_off(self, step: Step) -> None:
        """After the last attempt at a step that does not fit its window: a smaller one is next."""
        self._void(step, 1)

    def token(self, step: Step, row: Row, legal: Mask) -> None:
        """After every token, which was drawn from a legal set (V,)."""
        if self._log is not None:
            self._log.token(row, legal, self._tokens)
        self._tokens += 1
        if self._sinks.progress_sink is not None and self._tokens % PROGRESS == 0:
            self._sinks.progress_sink()
        sink = self._sinks.note_sink
        note_ends = "NoteOnset" if row.rules.grammar.drum else "NoteDuration"
        if sink is None or self._types[row.tokens[-1]] != note_ends:
            return
        if self._clock() - self._looked >= INTERVAL:
            self._look(sink, step, row)

    def attempt_ends(self, step: Step, row: Row) -> None:
        """After an attempt, whatever came of it."""
        if self._log is not None:
            self._log.attempt(step, row, self._tokens)
        if self._sinks.note_sink:
            self._look(self._sinks.note_sink, step, row)
        if self._sinks.attempt_sink is not None:
            self._sinks.attempt_sink(step, row)

    def _void(self, step: Step, attempt: int) -> None:
        if self._sinks.retry_sink is not None:
            bars = {self._task.parts[t].id: bars for t, bars in step.bars.items()}
            self._sinks.retry_sink(attempt, bars)

    def _look(self, sink: NoteSink, step: Step, row: Row) -> None:
        """Tell the notes that have come since the last look."""
        self._looked = self._clock()
        so_far = self._tokenizer.decode([*row.prompt.tokens, *row.tokens])
        news = []
        for part, bar in sorted(step.targets):
            bars = so_far.tracks[row.prompt.order.index(part)].bars
            index = bar - step.window[0]
            notes = bars[index].notes if index < len(bars) else []
            news += [
                {
                    "track": self._task.parts[part].id,
                    "bar": bar,
                    "pitch": note.pitch,
                    "onset_ticks": note.onset_ticks,
                    "duration_ticks": note.duration_ticks,
                    "velocity": note.velocity,
                    "delta": note.delta,
                }
                for note in notes[self._told[part, bar] :]
            ]
            self._told[part, bar] = len(notes)
        if news:
            sink(news)


def prompt_state(task: Task, step: Step) -> dict[str, Any]:
    """What a step shows the model, as JSON-ready data.

    Per track and bar of the window: ``T`` is written, ``C`` is seen, ``M`` is hidden, and ``A`` is
    hidden by attention.
    """
    start, end = step.window
    hidden = "A" if task.config.mask_mode.startswith("attention") else "M"

    def state(part: int, bar: int) -> str:
        if (part, bar) in step.targets:
            return "T"
        return hidden if bar in task.parts[part].hidden else "C"

    return {
        "start_bar": start,
        "end_bar": end,
        "tracks": [
            {
                "id": part.id,
                "is_agent": part.autoregressive,
                "states": [state(t, bar) for bar in range(start, end)],
            }
            for t, part in enumerate(task.parts)
        ],
    }
