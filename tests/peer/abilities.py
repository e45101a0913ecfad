"""What a checkpoint can be asked for, as far as requests are drawn by it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from midigpt.attributes import AttributeAnalyzer
from midigpt.inference.language import Language
from tests.contract.vectors import FOLDER, load

PUBLISHED = ("yellow", "prism", "expressive")
SKETCHES = ("plain", "mask", "barattr", "switch", "small")
"""Encoders of the checkpoints whose bars end after a few notes."""

EVERY_ATTRIBUTE = {
    "resolution": 12,
    "attribute_controls": [
        {"name": name, "params": params}
        for name, params in (
            ("note_density_quantile", {"track_type": "both"}),
            ("note_density_quantile", {"level": "bar", "track_type": "both"}),
            ("polyphony_quantile", {"mode": "min", "track_type": "both"}),
            ("polyphony_quantile", {"mode": "max"}),
            ("polyphony_quantile", {"mode": "min", "level": "bar"}),
            ("polyphony_quantile", {"mode": "max", "level": "bar", "track_type": "both"}),
            ("note_duration_quantile", {"mode": "min", "track_type": "both"}),
            ("note_duration_quantile", {"mode": "max"}),
            ("note_duration_quantile", {"mode": "min", "level": "bar"}),
            ("note_duration_quantile", {"mode": "max", "level": "bar"}),
            ("key_signature", {}),
            ("pitch_range", {}),
            ("silence_proportion", {}),
            ("silence_proportion", {"level": "bar"}),
            ("pitch_class_set", {}),
            ("pitch_class_set", {"level": "track"}),
            ("nomml", {}),
            ("onset_polyphony", {}),
            ("note_duration_dist", {}),
        )
    ],
}


@cache
def encoders() -> dict[str, dict[str, Any]]:
    """All encoder configs by name."""
    return {
        **{name: load(f"encoders/{name}.json") for name in PUBLISHED},
        **load("inference/encoders.json"),
        **load("tokenizer/variants.json"),
        "every": EVERY_ATTRIBUTE,
    }


@cache
def checkpoints() -> dict[str, str]:
    """Paths of all checkpoint files by name."""
    found = [*FOLDER.glob("checkpoints/*.*"), *FOLDER.glob("inference/checkpoints/*.*")]
    # the same weights in the two formats have names of their own
    return {
        p.stem if p.suffix == ".safetensors" else p.name: str(p.resolve()) for p in sorted(found)
    }


def encoder_of(checkpoint: str) -> str:
    """Name of the encoder of a checkpoint."""
    return checkpoint.removesuffix(".pt").removeprefix("tiny_")


@cache
def language_of(encoder: str) -> Language:
    """Our tokenizer, analyzer and grammar of an encoder."""
    return Language.of(encoders()[encoder])


@cache
def analyzer_of(encoder: str) -> AttributeAnalyzer:
    """Our analyzer of an encoder, which need not have tokens for its attributes."""
    return AttributeAnalyzer.from_config(encoders()[encoder])


@dataclass(frozen=True)
class Abilities:
    """What may be asked of one encoder.

    Attributes:
        windows: numbers of bars a prompt may have.
        meters: (numerator, denominator), by index.
        genres: labels and aliases.
        infill: whether bars can be filled in.
        masks: whether there is a MaskBar token.
        velocity: whether velocities can be switched off.
        microtiming: whether microtiming can be switched off.
        attributes: name to (level, kind of track, number of levels).
    """

    windows: tuple[int, ...]
    meters: tuple[tuple[int, int], ...]
    genres: tuple[str, ...]
    infill: bool
    masks: bool
    velocity: bool
    microtiming: bool
    attributes: dict[str, tuple[str, str, int]]

    @classmethod
    @cache
    def of(cls, encoder: str) -> Abilities:
        """Those of an encoder, by name."""
        language = language_of(encoder)
        config = language.tokenizer.config
        groups = config.genre_groups or {}
        return cls(
            windows=config.num_bars_map or (1, 2, 3, 4, 5, 8),
            meters=config.time_signatures or (),
            genres=tuple(name for group in groups for name in (group, *groups[group])),
            infill=config.supports_infill,
            masks="MaskBar" in language.tokenizer.vocabulary,
            velocity=config.switchable_velocity,
            microtiming=config.switchable_microtiming,
            attributes={
                a.name: (a.level, a.track_type, a.size) for a in language.analyzer.attributes
            },
        )

    def attributes_for(self, level: str, kind: str) -> list[str]:
        """Names of the attributes of a level that a kind of track has."""
        return [
            name
            for name, (its_level, its_kind, _) in self.attributes.items()
            if its_level == level and its_kind in (kind, "both")
        ]
