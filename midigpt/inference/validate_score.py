"""What the score must look like, and what in it the checkpoint cannot say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midigpt.errors import RequestValidationError
from midigpt.inference.reading import Place, listed, reject, shown

if TYPE_CHECKING:
    from midigpt.score import Score
    from midigpt.tokens import EncoderConfig


MAX_TRACKS = 256
MAX_BARS = 2**16
"""Bars of all tracks together: more than any music, and as much as is planned in seconds."""


def check_bars(score: Score, window: int, encoder: EncoderConfig) -> None:
    """Check that there are ticks and tracks, all of one number of bars, enough and not too many.

    Raises:
        RequestValidationError: there are not.
    """
    if score.resolution < 1:
        problem = f"score.resolution is {shown(score.resolution)}; it must be at least 1"
        raise RequestValidationError(problem)
    lengths = [len(track.bars) for track in score.tracks]
    if not lengths:
        raise RequestValidationError("score.tracks is empty; it must have at least one track")
    if len(lengths) > MAX_TRACKS:
        problem = f"score.tracks has {len(lengths)} tracks; it must have at most {MAX_TRACKS}"
        raise RequestValidationError(problem)
    if sum(lengths) > MAX_BARS:
        problem = f"score has {sum(lengths)} bars in all tracks; it must have at most {MAX_BARS}"
        raise RequestValidationError(problem)
    if min(lengths) == 0:
        _reject_length(lengths, lengths.index(0))
    if min(lengths) < max(lengths):
        _reject_length(lengths, next(t for t, bars in enumerate(lengths) if bars != lengths[0]))
    if lengths[0] < window:
        sizes = listed(encoder.num_bars_map or ["any"])
        raise RequestValidationError(
            f"config.model_dim is {window}, but the score has only {lengths[0]} bars; pad it with"
            f" empty bars or choose a smaller window (those of this checkpoint: {sizes})"
        )


def _reject_length(lengths: list[int], track: int) -> None:
    place = Place(f"score.tracks[{track}].bars", track)
    raise RequestValidationError(
        f"{place} has {lengths[track]} bars; it must be the same positive number for all tracks,"
        f" which have {listed(lengths)}"
    )


def check_meters(score: Score, encoder: EncoderConfig) -> None:
    """Check that every meter is one, and that the checkpoint has a token for it.

    Raises:
        RequestValidationError: it is not, or has not.
    """
    meters = encoder.time_signatures or ()
    for t, track in enumerate(score.tracks):
        for b, bar in enumerate(track.bars):
            meter = (bar.ts_numerator, bar.ts_denominator)
            place = Place(f"score.tracks[{t}].bars[{b}]", t, b)
            if min(meter) < 1:
                reject(place, f"is in {shown_meter(meter)}; both numbers must be at least 1")
            if meters and meter not in meters:
                known = listed(map(shown_meter, meters))
                reject(place, f"is in {shown_meter(meter)}; it must be in one of {known}")


def shown_meter(meter: tuple[int, int]) -> str:
    """A meter as musicians write it."""
    return f"{shown(meter[0])}/{shown(meter[1])}"


def note_warnings(score: Score, encoder: EncoderConfig) -> list[str]:
    """What the checkpoint will not see as it is written, counted."""
    lowest, highest = encoder.pitch_range
    pitches = durations = onsets = 0
    for track in score.tracks:
        for bar in track.bars:
            end = 4 * score.resolution * bar.ts_numerator // bar.ts_denominator
            for note in bar.notes:
                pitches += not lowest <= note.pitch <= highest
                durations += note.duration_ticks <= 0
                onsets += not 0 <= note.onset_ticks < end
    programs = sum(not 0 <= track.instrument <= 127 for track in score.tracks)
    counts = (
        (pitches, f"of note pitches outside {lowest}..{highest}, the range of this checkpoint"),
        (programs, "of track instruments outside 0..127, read as 0"),
        (durations, "of note duration_ticks below 1, read as the shortest duration"),
        (onsets, "of note onset_ticks outside their bar, moved to the nearest position"),
    )
    return [f"score: {count} {what}" for count, what in counts if count]
