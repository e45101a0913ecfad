"""What ``GET /info`` tells about a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midigpt import __version__
from midigpt.inference.controls import GRID_UNITS, SCALES
from midigpt.server.schemas import Capabilities, Info

if TYPE_CHECKING:
    from midigpt.inference.engine import InferenceEngine
    from midigpt.server.config import ModelEntry

_SWITCHES = (
    "note_density",
    "min_polyphony",
    "max_polyphony",
    "min_note_duration",
    "max_note_duration",
    "tension",
)


def describe(
    engine: InferenceEngine, entry: ModelEntry, default_model: str, *, device: str
) -> Info:
    """Describe an engine on a device, served as an entry of a deployment."""
    config, analyzer = engine.language.tokenizer.config, engine.language.analyzer
    return Info(
        checkpoint=entry.label,
        capabilities=_capabilities(engine),
        attributes=analyzer.attribute_sizes(),
        model=entry.id,
        default_model=default_model,
        attribute_track_types=analyzer.attribute_track_types(),
        attribute_levels=analyzer.attribute_levels(),
        resolution=config.resolution,
        decode_resolution=config.decode_resolution,
        time_signatures=[f"{n}/{d}" for n, d in config.time_signatures or ()],
        device=device,
        precision=engine.decoder.precision,
        max_parallel=entry.max_parallel,
        version=__version__,
    )


def _capabilities(engine: InferenceEngine) -> Capabilities:
    tokenizer, levels = engine.language.tokenizer, engine.language.analyzer.attribute_levels()
    pitches = "NoteOnset" in tokenizer.vocabulary
    positions = "TimeAbsolutePos" in tokenizer.vocabulary
    return Capabilities(
        **{name: levels.get(name) == "track" for name in _SWITCHES},
        supports_token_mask="MaskBar" in tokenizer.vocabulary,
        supports_attention_mask=True,
        supports_attention_approx=True,
        supports_attention_skip=True,
        supports_remove=True,
        supports_pitch_mask=pitches,
        pitch_mask_scale_presets=sorted(SCALES),
        supports_rhythm_mask=positions,
        rhythm_mask_grid_units=sorted(GRID_UNITS),
        supports_remix=pitches and positions,
        supports_streaming=True,
        model_dim_options=list(tokenizer.config.num_bars_map or ()),
        max_context_tokens=engine.decoder.context,
        switchable_velocity=tokenizer.config.switchable_velocity,
        switchable_microtiming=tokenizer.config.switchable_microtiming,
        genres=list(tokenizer.genres.names),
    )
