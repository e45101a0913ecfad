"""What the track prompts may ask for: one for every track, and bars that are there.

The prompts are copies of the caller's, with checked types. All functions raise
``RequestValidationError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midigpt.errors import RequestValidationError
from midigpt.inference.reading import Place, listed, reject, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from midigpt.inference.request import TrackPrompt
    from midigpt.score import Score, Track
    from midigpt.tokens import EncoderConfig


def check_all_there(prompts: Sequence[TrackPrompt], score: Score) -> None:
    """Check that no track of the score is forgotten."""
    if not prompts:
        raise RequestValidationError("tracks is empty; it must have a prompt for every track")
    missing = sorted({*range(len(score.tracks))} - {prompt.id for prompt in prompts})
    if missing:
        raise RequestValidationError(
            f"tracks has no prompt with track_id={listed(missing)}; every track of the score needs"
            " one (ignore: true leaves a track out)"
        )


def check_role(prompt: TrackPrompt, place: Place, seen: Collection[int], tracks: int) -> None:
    """Check which track is meant, and that it is either written or left out."""
    where = place.at("id")
    if prompt.id in seen:
        reject(where, f"is {shown(prompt.id)}, which an earlier prompt has; ids must differ")
    if not 0 <= prompt.id < tracks:
        reject(where, f"is {shown(prompt.id)}; it must be in 0..{tracks - 1}")
    if prompt.ignore and prompt.autoregressive:
        reject(place.at("ignore"), "is set together with autoregressive; only one may be")
    if prompt.ignore and prompt.bars:
        where = place.at("bars")
        reject(where, f"is {shown(prompt.bars)}; it must be empty on an ignored track")


def check_bars(prompt: TrackPrompt, place: Place, track: Track) -> None:
    """Check the bars to write and the bars to hide."""
    where, count = place.at("bars"), len(track.bars)
    _check_range(prompt.bars, where, count)
    _check_hidden(prompt, place.at("mask_bars"), count)
    if prompt.autoregressive:
        first = min(prompt.bars)
        if sorted(prompt.bars) != [*range(first, count)]:
            reject(
                where,
                f"is {shown(prompt.bars)}; on an autoregressive track it must be a run of bars up"
                f" to the last, {count - 1}, each once",
            )
    for bar in prompt.bars:
        if track.bars[bar].future:
            reject(where.on(bar), f"has {bar}, a future bar of the score; it must not be hidden")


def _check_hidden(prompt: TrackPrompt, place: Place, count: int) -> None:
    hidden = prompt.mask_bars
    if hidden and prompt.ignore:
        reject(place, f"is {shown(hidden)}; it must be empty on an ignored track")
    _check_range(hidden, place, count)
    both = sorted({*hidden} & {*prompt.bars})
    if both:
        reject(place, f"has {shown(both)}, which are bars to write; they cannot be hidden too")


def _check_range(bars: Sequence[int], place: Place, count: int) -> None:
    for bar in bars:
        if not 0 <= bar < count:
            reject(place.on(bar), f"has {shown(bar)}; bars must be in 0..{count - 1}")


def check_something_to_do(prompts: Sequence[TrackPrompt], encoder: EncoderConfig) -> None:
    """Check that there are bars to write and that the checkpoint can."""
    if not any(prompt.bars for prompt in prompts):
        raise RequestValidationError(
            "tracks asks for nothing; at least one prompt must have bars or be autoregressive"
        )
    for index, prompt in enumerate(prompts):
        if prompt.bars and not prompt.autoregressive and not encoder.supports_infill:
            reject(
                Place(f"tracks[{index}].bars", prompt.id),
                f"is {shown(prompt.bars)}, but this checkpoint cannot fill in bars; the track must"
                " be autoregressive",
            )


def check_targets(bars: Iterable[int], prompt: TrackPrompt, place: Place, count: int) -> None:
    """Check that something can be asked of these bars: they are there, and to be written."""
    targets = {*prompt.bars}
    for bar in bars:
        _check_range([bar], place, count)
        if bar not in targets:
            reject(place.on(bar), f"has bar {bar}, which is not to be written; it must be in bars")


def is_whole(prompt: TrackPrompt) -> bool:
    """Whether the track is written from its first bar on, instead of from what is there."""
    return prompt.autoregressive and 0 in prompt.bars
