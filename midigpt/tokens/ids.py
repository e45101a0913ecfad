"""Token ids by musical value, looked up once per encoder and not once per note."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midigpt.tokens.types import BAR_LEVELS, TRACK_LEVELS
from midigpt.tokens.values import program_groups, velocity_levels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from midigpt.tokens.config import EncoderConfig
    from midigpt.tokens.vocabulary import Vocabulary


class Clamped(dict[int, int]):
    """Token id by value, counted from ``lowest``; a value outside gets the nearest one's id.

    Published models learned from scores that were clamped like this.
    """

    def __init__(self, ids: Sequence[int], lowest: int = 0) -> None:
        super().__init__(enumerate(ids, lowest))
        self._lowest, self._highest = lowest, lowest + len(ids) - 1

    def __missing__(self, value: int) -> int:
        return self[self._lowest if value < self._lowest else self._highest]


class TokenIds:
    """The ids an encoder writes; those of a type that the vocabulary lacks are empty.

    Single tokens (``bar``, ``bar_end``, ...) are sequences of at most one id.
    """

    def __init__(self, config: EncoderConfig, vocabulary: Vocabulary) -> None:
        def ids(type_: str) -> range:
            span = vocabulary.span(type_)
            return range(span.start, span.stop)

        self.bar = ids("Bar")[:1]
        self.bar_end = ids("BarEnd")[:1]
        self.fill_end = ids("FillInEnd")[:1]
        self.fill_start = ids("FillInStart")[:1]
        self.mask_bar = ids("MaskBar")[:1]
        self.negative = ids("DeltaDirection")[:1]
        self.piece_end = ids("None")[:1]
        self.placeholder = ids("FillInPlaceholder")[:1]
        self.track_end = ids("TrackEnd")[:1]

        self.genre = Clamped(ids("Genre"))
        self.num_bars = Clamped(ids("NumBars"))
        self.piece_start = Clamped(ids("PieceStart"))
        self.position = Clamped(ids("TimeAbsolutePos"))
        self.track = Clamped(ids("Track"))
        self.use_microtiming = Clamped(ids("UseMicrotiming"))
        self.use_velocity = Clamped(ids("UseVelocity"))

        self.delta = Clamped(ids("Delta") if config.emit_delta_tokens else ())
        self.duration = Clamped(ids("NoteDuration"), lowest=1)
        self.pitch = Clamped(ids("NoteOnset"), lowest=config.lowest_pitch)
        self.velocity = _velocities(ids("VelocityLevel"))
        self.sticky = config.velocity_sticky

        self.instrument = _instruments(ids("Instrument"), config)
        self.meter = _meters(ids("TimeSig"), config)
        self.any_meter = () if config.time_signatures else ids("TimeSig")[:1]
        self.windows = {bars: value for value, bars in enumerate(config.num_bars_map or ())}
        self.can_fill = config.supports_infill and "FillInPlaceholder" in vocabulary

        def levels(types: Mapping[str, str]) -> list[tuple[str, Clamped]]:
            return [(name, Clamped(ids(type_))) for name, type_ in types.items() if ids(type_)]

        self.track_levels = levels(TRACK_LEVELS)
        self.bar_levels = levels(BAR_LEVELS)


def _velocities(ids: range) -> Clamped:
    """Per velocity 0..127. A silent note counts as the softest, to have a level of its own."""
    if not ids:
        return Clamped(())
    return Clamped([ids[max(level, 1)] for level in velocity_levels(len(ids)).level])


def _instruments(ids: range, config: EncoderConfig) -> dict[int, int]:
    """Per program 0..127."""
    if not ids:
        return {}
    values = Clamped(ids)
    groups = program_groups(config.instrument_merge_groups).group
    return {program: values[value] for program, value in enumerate(groups)}


def _meters(ids: range, config: EncoderConfig) -> dict[tuple[int, int], int]:
    """Per meter of the config; of repeated ones the last."""
    if not ids:
        return {}
    values = Clamped(ids)
    return {meter: values[value] for value, meter in enumerate(config.time_signatures or ())}
