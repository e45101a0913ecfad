"""What a request asks for, in the form the engine works with: decided once, never changed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from midigpt.inference.controls import PitchMask, Remix, RhythmMask
from midigpt.inference.request import InferenceConfig

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from midigpt.inference.plan import Cell
    from midigpt.inference.request import GenerationRequest, TrackPrompt
    from midigpt.score import Score, Track
    from midigpt.tokens import Tokenizer

C = TypeVar("C", PitchMask, RhythmMask, Remix)


@dataclass(frozen=True)
class Part:
    """One track that takes part, and what is asked of it.

    Attributes:
        id: index of the track in the request's score.
        bars: bars to write.
        hidden: bars the model may not see.
        autoregressive: written as a continuation rather than filled in.
        drum: whether it is a drum track.
        attributes: levels asked for, by attribute name.
        bar_attributes: the same for single bars.
        time_signature: index of the meter asked for, if one is.
        bar_meters: the same for single bars.
        pitch_mask: which pitches may be played, if not all alike.
        rhythm_mask: when notes may begin, if not anywhere.
        remix: how far to vary what is there, if it is to be varied.
    """

    id: int
    bars: frozenset[int]
    hidden: frozenset[int]
    autoregressive: bool
    drum: bool
    attributes: Mapping[str, int]
    bar_attributes: Mapping[int, Mapping[str, int]]
    time_signature: int | None = None
    bar_meters: Mapping[int, int] = field(default_factory=dict)
    pitch_mask: PitchMask | None = None
    rhythm_mask: RhythmMask | None = None
    remix: Remix | None = None

    @property
    def full(self) -> bool:
        """Whether the whole track is written, from its first bar on."""
        return self.autoregressive and 0 in self.bars

    @classmethod
    def of(cls, prompt: TrackPrompt, track: Track) -> Part:
        """The part that a validated track prompt describes."""
        controls = prompt.controls
        future = frozenset(index for index, bar in enumerate(track.bars) if bar.future)
        return cls(
            id=prompt.id,
            bars=frozenset(prompt.bars),
            hidden=future.union(prompt.mask_bars),
            autoregressive=prompt.autoregressive,
            drum=track.is_drum,
            attributes=prompt.attributes,
            bar_attributes=prompt.bar_attributes,
            time_signature=controls.get("time_signature"),
            bar_meters={
                bar: controls["time_signature"]
                for bar, controls in prompt.bar_controls.items()
                if "time_signature" in controls
            },
            pitch_mask=_parsed(PitchMask, controls.get("pitch_mask")),
            rhythm_mask=_parsed(RhythmMask, controls.get("rhythm_mask")),
            remix=_parsed(Remix, controls.get("remix")),
        )


@dataclass(frozen=True)
class Task:
    """A request made ready.

    Attributes:
        config: validated, and normalised by validation.
        window: its ``model_dim``: bars the model sees at a time.
        bars_per_step: as there; 0 leaves it to the engine.
        tracks_per_step: as there; 0 leaves it to the engine.
        parts: the tracks that are not ignored, in the order of the score. Inside the engine a
            track is its index here.
        seed: the seed in use.
        velocity: whether notes carry velocities.
        microtiming: whether notes carry microtiming.
        genre: genre id, or -1.
        speaks_of_meters: whether any control of the request, of whatever track, is about meters.
        meter: the TimeSig token every written bar must have, or None where meters may change.
    """

    config: InferenceConfig
    window: int
    bars_per_step: int
    tracks_per_step: int
    parts: tuple[Part, ...]
    seed: int
    velocity: bool
    microtiming: bool
    genre: int
    speaks_of_meters: bool
    meter: int | None

    @classmethod
    def of(cls, request: GenerationRequest, score: Score, tokenizer: Tokenizer) -> Task:
        """The task that a validated request describes."""
        config, controls = request.config, request.controls
        seed = random.randrange(2**31) if config.seed is None or config.seed < 0 else config.seed  # noqa: S311 - music, not secrets
        prompts = sorted(request.tracks, key=lambda prompt: prompt.id)
        parts = [Part.of(p, score.tracks[p.id]) for p in prompts if not p.ignore]
        genre = controls.get("genre")
        meters = any(_speaks_of_meters(prompt) for prompt in prompts)
        return cls(
            config=config,
            window=int(config.model_dim or 0),
            bars_per_step=int(config.bars_per_step),
            tracks_per_step=int(config.tracks_per_step),
            parts=tuple(_thin_out(parts, config.infill_probability, seed)),
            seed=seed,
            velocity=controls.get("velocity", True),
            microtiming=controls.get("microtiming", True),
            genre=-1 if genre is None else tokenizer.genres.encode(genre),
            speaks_of_meters=meters,
            meter=None if meters else _kept_meter(parts, score, tokenizer),
        )

    def without(self, parts: Collection[int], score: Score, tokenizer: Tokenizer) -> Task:
        """The task with these parts left out, as if the request had ignored them."""
        kept = [part for t, part in enumerate(self.parts) if t not in parts]
        meter = None if self.speaks_of_meters else _kept_meter(kept, score, tokenizer)
        return replace(self, parts=tuple(kept), meter=meter)

    @property
    def generated_bars(self) -> dict[int, list[int]]:
        """Bars to write by track id, for tracks that have any."""
        return {part.id: sorted(part.bars) for part in self.parts if part.bars}

    def targets(self) -> Iterator[Cell]:
        """All cells to write."""
        return ((t, bar) for t, part in enumerate(self.parts) for bar in part.bars)


def _parsed(control: type[C], sent: object) -> C | None:
    return None if sent is None else control.parse(sent)


def _speaks_of_meters(prompt: TrackPrompt) -> bool:
    return any("time_signature" in c for c in (prompt.controls, *prompt.bar_controls.values()))


def _thin_out(parts: Sequence[Part], probability: float, seed: int) -> Sequence[Part]:
    """Keep that share of the bars to be filled in; the others become context."""
    pool = sorted((p.id, bar) for p in parts if not p.autoregressive for bar in p.bars)
    if probability >= 1 or not pool:
        return parts
    count = max(1, int(probability * len(pool) + 0.5))
    kept = set(random.Random(seed).sample(pool, count))  # noqa: S311 - music, not secrets
    return [
        p
        if p.autoregressive
        else replace(p, bars=frozenset(bar for bar in p.bars if (p.id, bar) in kept))
        for p in parts
    ]


def _kept_meter(parts: Sequence[Part], score: Score, tokenizer: Tokenizer) -> int | None:
    """The TimeSig token of a piece in one meter."""
    meters = {
        (bar.ts_numerator, bar.ts_denominator)
        for part in parts
        for bar in score.tracks[part.id].bars
    }
    if len(meters) != 1:
        return None
    signatures = tokenizer.config.time_signatures or ()
    meter = meters.pop()
    if meter not in signatures or "TimeSig" not in tokenizer.vocabulary:
        return None
    index = max(i for i, signature in enumerate(signatures) if signature == meter)
    return tokenizer.vocabulary.encode("TimeSig", index)
