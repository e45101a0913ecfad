"""The rules of each step, drawn up from the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from midigpt.inference.constraints import (
    BarValueConstraint,
    DensityCap,
    PolyphonyCap,
    ValueConstraint,
)
from midigpt.inference.forcers import ExactRhythm, Variation, reference
from midigpt.inference.rules import Allowed, MeterKeeper, Room, Rules
from midigpt.tokens.types import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from midigpt.inference.controls import PitchMask, Remix, RhythmMask
    from midigpt.inference.language import Language
    from midigpt.inference.plan import Cell, Step
    from midigpt.inference.prompt import Prompt
    from midigpt.inference.rules import Constraint
    from midigpt.inference.task import C, Part, Task
    from midigpt.score import Bar


class Rulebook:
    """Draws up the rules of the steps of a task.

    Args:
        task: what the request asks for.
        language: what the checkpoint's encoder defines.
        warn: told what the caller should know.
    """

    def __init__(self, task: Task, language: Language, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._task = task
        self._language = language
        self._vocabulary = language.tokenizer.vocabulary

    def rules(
        self,
        step: Step,
        before: Mapping[Cell, Bar],
        prompt: Prompt,
        budget: int,
        later: int,
    ) -> Callable[[int], Rules]:
        """A maker of the rules of a step's attempts, by the attempt's number.

        Args:
            step: the step.
            before: its cells on the token grid, for a remix to vary.
            prompt: the prompt of the step.
            budget: tokens an attempt may sample.
            later: bars of later steps that must fit the same window.
        """
        room = Room(
            self._vocabulary, self._language.ends, budget, bars=len(step.targets), later=later
        )
        common = self._rules(step, prompt, self._watching(step), self._keeping(step), room)
        remix = self._agreed(step, "remix", [part.remix for part in self._writers(step)])
        if remix is None:
            return lambda _: common.copy()
        return lambda attempt: common.copy(
            first=self._variation(step, before, remix, self._task.seed + attempt)
        )

    def plain_rules(self, step: Step, prompt: Prompt) -> Rules:
        """The grammar and the limits on the number of notes, and nothing else."""
        boundless = Room(self._vocabulary, self._language.ends, budget=0, bars=1, later=0)
        return self._rules(step, prompt, self._caps(), [], boundless)

    def weights(self, step: Step) -> tuple[Tensor, ...]:
        """What multiplies the probabilities of the step's tokens, one vector (V,) at a time."""
        found = []
        pitches, rhythm = self._pitch_mask(step), self._rhythm_mask(step)
        if pitches is not None and pitches.weights is not None:
            lowest = self._language.tokenizer.config.lowest_pitch
            found.append(self._weighted("NoteOnset", pitches.weights[lowest:]))
        grid = rhythm.grid if rhythm is not None else None
        if grid is not None:
            spacing = grid.ticks(self._language.tokenizer.config.resolution)
            off_grid = max(0.0, 1 - grid.strength)
            positions = range(self._vocabulary.domain_size("TimeAbsolutePos"))
            weights = [off_grid if tick % spacing else 1.0 for tick in positions]
            found.append(self._weighted("TimeAbsolutePos", weights))
        return tuple(found)

    def _rules(
        self,
        step: Step,
        prompt: Prompt,
        watching: Sequence[Constraint],
        forcing: Sequence[Constraint],
        room: Room,
    ) -> Rules:
        """The grammar of a step and these constraints, having read the prompt."""
        window = step.window[1] - step.window[0]
        grammar = self._language.grammar.rules(
            exact_bars=window if step.autoregressive else None,
            max_tracks=len(self._task.parts),
            autoregressive=step.autoregressive,
            strict=True,
        )
        ends = self._language.ends
        rules = Rules(grammar.start(), watching, forcing, room, prompt.blocks, ends)
        rules.read(prompt.tokens)
        return rules

    def _caps(self) -> list[Constraint]:
        config, vocabulary = self._task.config, self._vocabulary
        rules: list[Constraint] = []
        if config.polyphony_hard_limit > 0:
            rules.append(PolyphonyCap(vocabulary, config.polyphony_hard_limit))
        if config.density_hard_limit > 0:
            rules.append(DensityCap(vocabulary, config.density_hard_limit))
        return rules

    def _watching(self, step: Step) -> list[Constraint]:
        """What sees the prompt as well."""
        rules = self._caps()
        if step.autoregressive and self._task.parts[step.active_track].full:
            rules += self._asked(self._task.parts[step.active_track], step.window[0])
        return [*rules, Allowed(self._allowed(step))]

    def _asked(self, part: Part, start: int) -> list[Constraint]:
        """The values asked of a track that is written from its first bar on."""
        vocabulary = self._vocabulary
        last = len(self._task.parts) - 1
        asked: list[Constraint] = [
            ValueConstraint(vocabulary, self._token_type(name), level)
            for name, level in part.attributes.items()
            # the type of every note's duration has no room in a header
            if self._language.analyzer.get(name) and self._token_type(name) != "NoteDuration"
        ]
        if part.time_signature is not None:
            asked.append(ValueConstraint(vocabulary, "TimeSig", part.time_signature))
        for bar, levels in part.bar_attributes.items():
            asked += [
                BarValueConstraint(vocabulary, self._token_type(name), level, last, bar - start)
                for name, level in levels.items()
            ]
        asked += [
            BarValueConstraint(vocabulary, "TimeSig", meter, last, bar - start)
            for bar, meter in part.bar_meters.items()
        ]
        return asked

    def _token_type(self, name: str) -> str:
        return canonical(self._language.analyzer[name].token_type)

    def _allowed(self, step: Step) -> np.ndarray:
        """All tokens but those that the request switches off or masks."""
        vocabulary = self._vocabulary
        allowed = np.ones(len(vocabulary), dtype=np.bool_)
        off = [] if self._task.velocity else ["VelocityLevel"]
        off += [] if self._task.microtiming else ["Delta", "DeltaDirection"]
        for type_ in off:
            allowed[vocabulary.span(type_)] = False
        pitches = self._pitch_mask(step)
        kept = pitches.allowed if pitches is not None else None
        if kept is not None:
            onsets = vocabulary.span("NoteOnset")
            lowest = self._language.tokenizer.config.lowest_pitch
            count = onsets.stop - onsets.start
            allowed[onsets] = [pitch in kept for pitch in range(lowest, lowest + count)]
        return allowed

    def _keeping(self, step: Step) -> list[Constraint]:
        """What sees only what is sampled."""
        rules: list[Constraint] = []
        rhythm = self._rhythm_mask(step)
        if rhythm is not None and rhythm.positions is not None:
            rules.append(ExactRhythm(self._vocabulary, rhythm.positions))
        if self._task.meter is not None:
            rules.append(MeterKeeper(self._vocabulary, self._task.meter))
        return rules

    def _variation(
        self, step: Step, before: Mapping[Cell, Bar], remix: Remix, seed: int
    ) -> Variation:
        bars = [before[cell] for cell in sorted(step.targets)]
        return Variation(
            self._vocabulary,
            reference(bars, self._language.tokenizer.config.lowest_pitch),
            remix.amount,
            durations=remix.mode == "full",
            drum=self._task.parts[step.active_track].drum,
            seed=seed,
        )

    def _pitch_mask(self, step: Step) -> PitchMask | None:
        return self._agreed(step, "pitch_mask", [part.pitch_mask for part in self._writers(step)])

    def _rhythm_mask(self, step: Step) -> RhythmMask | None:
        masks = [part.rhythm_mask for part in self._writers(step)]
        return self._agreed(step, "rhythm_mask", masks)

    def _writers(self, step: Step) -> list[Part]:
        """The parts that the step writes."""
        return [self._task.parts[track] for track in step.bars]

    def _agreed(self, step: Step, name: str, controls: Sequence[C | None]) -> C | None:
        """The control that all parts of a step have; None if they have none or disagree."""
        first = controls[0]
        alike = all(control == first for control in controls)
        if alike and (len(controls) == 1 or name != "remix" or first is None):
            return first
        ids = ", ".join(str(part.id) for part in self._writers(step))
        self._warn(f"{name} is left out of a step: tracks {ids} do not agree on it")
        return None

    def _weighted(self, type_: str, weights: Sequence[float]) -> Tensor:
        span = self._vocabulary.span(type_)
        vector = torch.ones(len(self._vocabulary))
        vector[span] = torch.tensor(weights[: span.stop - span.start], dtype=torch.float32)
        return vector
