"""Whether a request can be carried out, and the form in which the engine wants it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from midigpt.inference import validate_config, validate_score, validate_tracks
from midigpt.inference.reading import Place
from midigpt.inference.validate_attributes import KnownAttributes
from midigpt.inference.validate_controls import TrackControls, check_piece_controls
from midigpt.inference.validate_types import typed

if TYPE_CHECKING:
    from midigpt.attributes import AttributeAnalyzer
    from midigpt.inference.request import GenerationRequest, InferenceConfig
    from midigpt.score import Score
    from midigpt.tokens import EncoderConfig

_logger = logging.getLogger("midigpt")


def validate_request(
    request: GenerationRequest,
    score: Score,
    encoder_config: EncoderConfig,
    analyzer: AttributeAnalyzer | None = None,
) -> GenerationRequest:
    """As :func:`check_request`, with the warnings in the log of ``midigpt``."""
    settled, warnings = check_request(request, score, encoder_config, analyzer)
    for warning in warnings:
        _logger.warning(warning)
    return settled


def check_request(
    request: GenerationRequest,
    score: Score,
    encoder_config: EncoderConfig,
    analyzer: AttributeAnalyzer | None = None,
) -> tuple[GenerationRequest, list[str]]:
    """Check a request against the score and the checkpoint; the first problem raises.

    Args:
        request: what is asked for; it is not modified.
        score: the score it is about.
        encoder_config: how the checkpoint writes music.
        analyzer: the checkpoint's attributes; without it levels are not checked.

    Returns:
        The request in settled form, and warnings for whoever sent it. Settled: every member has
        its declared type, the window and the mask mode are chosen, and an autoregressive track
        lists its bars.

    Raises:
        RequestValidationError: it cannot be carried out.
        TypeError: a member has the wrong type.
    """
    settled, warnings = typed(request), []
    config, ids = settled.config, {prompt.id for prompt in settled.tracks}
    warnings += _check_config(config, score, ids, encoder_config)
    validate_score.check_bars(score, int(config.model_dim or 0), encoder_config)
    validate_config.settle_mask_mode(config, encoder_config)
    check_piece_controls(settled.controls, encoder_config)
    validate_score.check_meters(score, encoder_config)
    warnings += validate_score.note_warnings(score, encoder_config)
    warnings += _check_tracks(settled, score, encoder_config, analyzer)
    return settled, warnings


def _check_config(
    config: InferenceConfig, score: Score, ids: set[int], encoder: EncoderConfig
) -> list[str]:
    validate_config.settle_window(config, score, encoder)
    validate_config.check_steps(config)
    validate_config.check_context(config, ids)
    validate_config.check_amount(config)
    validate_config.check_temperature(config)
    validate_config.check_filters(config)
    validate_config.check_limits(config)
    return validate_config.settle_escalation(config)


def _check_tracks(
    settled: GenerationRequest,
    score: Score,
    encoder: EncoderConfig,
    analyzer: AttributeAnalyzer | None,
) -> list[str]:
    prompts, seen = settled.tracks, set[int]()
    warnings: list[str] = []
    attributes = KnownAttributes(encoder, analyzer)
    controls = TrackControls(settled.config, encoder)
    validate_tracks.check_all_there(prompts, score)
    for index, prompt in enumerate(prompts):
        place = Place(f"tracks[{index}]", prompt.id)
        validate_tracks.check_role(prompt, place, seen, len(score.tracks))
        seen.add(prompt.id)
        track = score.tracks[prompt.id]
        if prompt.autoregressive and not prompt.bars:
            prompt.bars = [*range(len(track.bars))]
        validate_tracks.check_bars(prompt, place, track)
        attributes.check_track(prompt, place, track)
        attributes.check_bars(prompt, place, track)
        controls.settle_bars(prompt, place, track)
        controls.settle_track(prompt, place)
        warnings += attributes.warnings(prompt, place, score)
        warnings += controls.warnings(prompt, place)
    validate_tracks.check_something_to_do(prompts, encoder)
    return warnings
