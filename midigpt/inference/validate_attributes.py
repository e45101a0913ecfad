"""Which attribute levels may be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midigpt.inference.reading import listed, meant, reject, shown
from midigpt.inference.validate_tracks import check_targets, is_whole
from midigpt.tokens.types import SILENT_LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midigpt.attributes import AttributeAnalyzer
    from midigpt.attributes.base import Attribute
    from midigpt.inference.reading import Place
    from midigpt.inference.request import TrackPrompt
    from midigpt.score import Score, Track
    from midigpt.tokens import EncoderConfig

_MEMBERS = {"track": "attributes", "bar": "bar_attributes"}


class KnownAttributes:
    """The attributes of a checkpoint.

    Args:
        encoder: the encoder config.
        analyzer: the checkpoint's attributes; without it only their names are known.
    """

    def __init__(self, encoder: EncoderConfig, analyzer: AttributeAnalyzer | None) -> None:
        self._analyzer = analyzer
        if analyzer is None:
            self._names = [control["name"] for control in encoder.attribute_controls]
        else:
            self._names = [attribute.name for attribute in analyzer.attributes]

    def check_track(self, prompt: TrackPrompt, place: Place, track: Track) -> None:
        """Check the levels of the whole track.

        Raises:
            RequestValidationError: one cannot be asked for.
        """
        for name, level in prompt.attributes.items():
            self._check(name, level, "track", place.at("attributes"), track)

    def check_bars(self, prompt: TrackPrompt, place: Place, track: Track) -> None:
        """Check the levels of single bars.

        Raises:
            RequestValidationError: one cannot be asked for, or its bar is not to be written.
        """
        place = place.at("bar_attributes")
        check_targets(prompt.bar_attributes, prompt, place, len(track.bars))
        for bar, levels in prompt.bar_attributes.items():
            for name, level in levels.items():
                self._check(name, level, "bar", place.at(bar).on(bar), track)

    def warnings(self, prompt: TrackPrompt, place: Place, score: Score) -> Iterator[str]:
        """What may be asked for but cannot come true."""
        for name, level in prompt.attributes.items():
            where, attribute = place.at("attributes").at(name), self._get(name)
            if not self._names:
                yield f"{where} has no effect: this checkpoint has no attributes"
            if attribute and prompt.bars and not is_whole(prompt):
                lowest, highest = attribute.achievable_range(score, prompt.id, prompt.bars)
                if not lowest <= level <= highest:
                    yield (
                        f"{where} is {level}, but with the bars that stay only {lowest}..{highest}"
                        " can be reached"
                    )
        for bar, levels in prompt.bar_attributes.items():
            for name in levels:
                attribute = self._get(name)
                if attribute and attribute.token_type in SILENT_LEVELS and not is_whole(prompt):
                    where = place.at("bar_attributes").at(bar).at(name).on(bar)
                    yield f"{where} has no effect: it acts only on tracks written from bar 0 on"

    def _get(self, name: str) -> Attribute | None:
        return None if self._analyzer is None else self._analyzer.get(name)

    def _check(self, name: str, level: int, of: str, place: Place, track: Track) -> None:
        if self._names and name not in self._names:
            reject(
                place,
                f"has no attribute {shown(name)}; this checkpoint has {listed(self._names)}"
                f" (what is not an attribute belongs in controls){meant(name, self._names)}",
            )
        where, attribute = place.at(name), self._get(name)
        if attribute is None:
            if of == "bar" and self._analyzer is not None:
                reject(where, "is no attribute of a bar: this checkpoint has none")
            return
        if attribute.level != of:
            member = _MEMBERS[attribute.level]
            reject(where, f"is an attribute of a {attribute.level}; it belongs in {member}")
        if not 0 <= level < attribute.size:
            reject(where, f"is {shown(level)}; it must be in 0..{attribute.size - 1}")
        if not attribute.applies_to(track):
            kind = "drum" if track.is_drum else "melodic"
            reject(where, f"is for {attribute.track_type} tracks; this track is {kind}")
