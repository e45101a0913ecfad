"""What the settings may be.

These functions work on a copy of the caller's settings, in the order in which they are called by
:func:`midigpt.inference.validate.check_request`. All raise ``RequestValidationError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midigpt.errors import RequestValidationError
from midigpt.inference.reading import Place, listed, require, shown
from midigpt.inference.request import (
    CONTEXT_MODES,
    MASK_MODES,
    MAX_ATTEMPTS,
    MAX_CANDIDATES,
    MAX_LIMIT,
    MAX_SEED,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from midigpt.inference.request import InferenceConfig
    from midigpt.score import Score
    from midigpt.tokens import EncoderConfig

STEEPEST_ESCALATION = 3.0

_OFF = "0 turns it off"


def settle_window(config: InferenceConfig, score: Score, encoder: EncoderConfig) -> None:
    """Choose the window if that is left to us, else see that the checkpoint knows it."""
    asked = int(config.model_dim or 0)
    bars = min((len(track.bars) for track in score.tracks), default=0)
    sizes = encoder.num_bars_map or ()
    if asked <= 0:
        fitting = [size for size in sizes if size <= bars]
        config.model_dim = max(fitting) if fitting else min(sizes, default=max(1, bars))
    elif sizes:
        _need(asked in sizes, "model_dim", asked, f'one of {listed(sizes)}, or "auto"')


def check_steps(config: InferenceConfig) -> None:
    """Check how the work is cut into steps."""
    window, bars, tracks = map(
        int, (config.model_dim or 0, config.bars_per_step, config.tracks_per_step)
    )
    overlap = config.ar_overlap
    _need(bars >= 0, "bars_per_step", bars, 'positive, or "auto"')
    _need(bars <= window, "bars_per_step", bars, f"at most config.model_dim, which is {window}")
    _need(tracks >= 0, "tracks_per_step", tracks, 'positive, or "auto"')
    _need(0 <= overlap < 1, "ar_overlap", overlap, "at least 0 and below 1")


def check_context(config: InferenceConfig, ids: Collection[int]) -> None:
    """Check what is kept as context when the prompt gets too long."""
    mode, margin, bars = config.context, config.budget_margin, config.min_overlap_bars
    _need(mode in CONTEXT_MODES, "context", mode, f"one of {listed(CONTEXT_MODES)}")
    _need_ids("context_drop", config.context_drop, ids)
    _need_ids("context_keep", config.context_keep, ids)
    _need(margin >= 1, "budget_margin", margin, "at least 1")
    _need(bars >= 0, "min_overlap_bars", bars, "at least 0")


def check_amount(config: InferenceConfig) -> None:
    """Check how much may be generated."""
    attempts, candidates = config.max_attempts, config.num_candidates
    _need(1 <= attempts <= MAX_ATTEMPTS, "max_attempts", attempts, f"in 1..{MAX_ATTEMPTS}")
    cost = f"in 1..{MAX_CANDIDATES}: each costs a whole generation"
    _need(1 <= candidates <= MAX_CANDIDATES, "num_candidates", candidates, cost)


def check_temperature(config: InferenceConfig) -> None:
    """Check the temperature, how it grows, and the share of the bars to fill in."""
    temperature, escalation = config.temperature, config.temperature_escalation
    _need(temperature > 0, "temperature", temperature, "above 0")
    _need_share("infill_probability", config.infill_probability, "1.0 is every bar")
    _need(escalation >= 1, "temperature_escalation", escalation, "at least 1; 1.0 turns it off")


def settle_escalation(config: InferenceConfig) -> list[str]:
    """Cut a temperature that grows too fast; the warnings say so."""
    asked = config.temperature_escalation
    if asked <= STEEPEST_ESCALATION:
        return []
    config.temperature_escalation = STEEPEST_ESCALATION
    return [f"config.temperature_escalation is {shown(asked)}; {STEEPEST_ESCALATION} is used"]


def check_filters(config: InferenceConfig) -> None:
    """Check what is cut from the distribution, and when a result counts as too close."""
    _need_share("top_p", config.top_p, "1.0 turns it off")
    _need_share("novelty_threshold", config.novelty_threshold, "1.0 rejects only no change")
    top_p, top_k, mask_p, mask_k = config.top_p, config.top_k, config.mask_p, config.mask_k
    _need(0 <= mask_p < 1, "mask_p", mask_p, f"at least 0 and below 1; {_OFF}")
    _need(top_k >= 0, "top_k", top_k, f"at least 0; {_OFF}")
    _need(mask_k >= 0, "mask_k", mask_k, f"at least 0; {_OFF}")
    if top_p < 1:
        _need(mask_p < top_p, "mask_p", mask_p, f"below config.top_p, {top_p}, to keep something")
    if top_k > 0:
        _need(mask_k < top_k, "mask_k", mask_k, f"below config.top_k, {top_k}, to keep something")


def check_limits(config: InferenceConfig) -> None:
    """Check the numbers that may be anything that is not absurdly large."""
    accepted = f"at most {MAX_LIMIT}; {_OFF}"
    for name, limit in (
        ("polyphony_hard_limit", config.polyphony_hard_limit),
        ("density_hard_limit", config.density_hard_limit),
    ):
        _need(limit <= MAX_LIMIT, name, limit, accepted)
    seed = config.seed
    _need(seed is None or seed <= MAX_SEED, "seed", seed, f"at most {MAX_SEED}; below 0: random")


def settle_mask_mode(config: InferenceConfig, encoder: EncoderConfig) -> None:
    """Choose how bars are hidden if that is left to us, else see that the checkpoint can."""
    mode, can_token = config.mask_mode, "MaskBar" in dict(encoder.domains)
    modes = [name for name in MASK_MODES if name != "token" or can_token]
    lacks = "" if can_token else "; this checkpoint has no MaskBar token"
    _need(mode in modes, "mask_mode", mode, f"one of {listed(modes)}{lacks}")
    if mode == "auto":
        config.mask_mode = "token" if can_token else "attention"


def _need(ok: bool, name: str, value: object, accepted: str) -> None:
    require(ok, Place(f"config.{name}"), value, accepted)


def _need_share(name: str, value: float, whole: str) -> None:
    _need(0 < value <= 1, name, value, f"above 0 and at most 1; {whole}")


def _need_ids(name: str, named: list[int], ids: Collection[int]) -> None:
    unknown = [track for track in named if track not in ids]
    if unknown:
        known = listed(sorted(ids), 10)
        raise RequestValidationError(
            f"config.{name} has {shown(unknown)}; it must be ids of prompts: {known}"
        )
