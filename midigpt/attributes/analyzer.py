"""All attributes of an encoder, measured on a score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from midigpt.attributes.registry import INFERRED, build
from midigpt.attributes.table import NoteTable
from midigpt.errors import EncoderConfigError
from midigpt.tokens.config import EncoderConfig
from midigpt.tokens.types import ALIASES, BAR_LEVELS, bar_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self

    from midigpt.attributes.base import Attribute, TrackType
    from midigpt.attributes.table import Level
    from midigpt.score import Score


class TrackLevels(NamedTuple):
    """The levels of one track.

    Attributes:
        track: levels of the track by attribute name.
        bars: levels of every bar by token type.
    """

    track: dict[str, int]
    bars: list[dict[str, int]]


class Comparison(TypedDict):
    """A level of the report.

    ``sampled`` is what the model wrote, ``realized`` what the notes are, ``requested`` what was
    asked for; ``consistent`` compares the first two, ``achieved`` the last two.
    """

    sampled: int | None
    realized: int
    requested: int | None
    consistent: bool | None
    achieved: bool | None


class Report(TypedDict):
    """Comparisons of a track, and of each of its bars, by attribute name."""

    track: dict[str, Comparison]
    bars: list[dict[str, Comparison]]


class AttributeAnalyzer:
    """The attributes of an encoder.

    Nothing is remembered between calls, and no score is modified. To measure all tracks,
    :meth:`compute_score` does it in one pass.

    Attributes:
        attributes: the attributes, in the order of all listings.
    """

    def __init__(self, attributes: Iterable[Attribute]) -> None:
        self.attributes = tuple(attributes)
        self._by_name = {attribute.name: attribute for attribute in self.attributes}
        self._track_level = [a for a in self.attributes if a.level == "track"]
        self._bar_level = [a for a in self.attributes if a.level == "bar"]

    @classmethod
    def from_config(cls, encoder_config: EncoderConfig | Mapping[str, Any]) -> Self:
        """The attributes of an encoder config.

        Those that the token domains imply, then ``attribute_controls``, each in the place of the
        one with the same token type if there is one.

        Raises:
            EncoderConfigError: the config makes no sense; an attribute is unknown or has the wrong
                parameters; a token domain has not as many values as its attribute has levels.
        """
        config = (
            encoder_config
            if isinstance(encoder_config, EncoderConfig)
            else EncoderConfig.parse(encoder_config)
        )
        domains = dict(config.token_domains or ())
        implied = [build(*INFERRED[type_]) for type_ in domains if type_ in INFERRED]
        controls = [
            build(control["name"], control.get("params", {}))
            for control in config.attribute_controls
        ]
        attributes = {attribute.token_type: attribute for attribute in [*implied, *controls]}
        for attribute in attributes.values():
            _check_size(attribute, domains)
        return cls(attributes.values())

    def __getitem__(self, name: str) -> Attribute:
        """The attribute of that name.

        Raises:
            KeyError: there is none.
        """
        return self._by_name[name]

    def get(self, name: str) -> Attribute | None:
        """The attribute of that name, or None."""
        return self._by_name.get(name)

    def attribute_sizes(self) -> dict[str, int]:
        """Number of levels by name."""
        return {a.name: a.size for a in self.attributes}

    def attribute_levels(self) -> dict[str, Level]:
        """``"track"`` or ``"bar"`` by name."""
        return {a.name: a.level for a in self.attributes}

    def attribute_track_types(self) -> dict[str, TrackType]:
        """``"melodic"``, ``"drum"`` or ``"both"`` by name."""
        return {a.name: a.track_type for a in self.attributes}

    def attribute_value_labels(self) -> dict[str, list[str]]:
        """What every level means by name, of the attributes that say so."""
        labels = {a.name: a.value_labels() for a in self.attributes}
        return {name: texts for name, texts in labels.items() if texts}

    def token_domain_specs(self) -> list[tuple[str, int]]:
        """Token type and number of levels of every attribute."""
        return [(a.token_type, a.size) for a in self.attributes]

    def compute_score(self, score: Score) -> list[TrackLevels]:
        """The levels of all tracks and bars; what attributes have in common is computed once."""
        table = NoteTable(score)
        result = [TrackLevels({}, [{} for _ in track.bars]) for track in score.tracks]
        every_bar = [bar for levels in result for bar in levels.bars]
        bar_track = table.bar_track.tolist()
        for attribute in self.attributes:
            applies = [attribute.applies_to(track) for track in score.tracks]
            measured = attribute.levels(attribute.measure(table)).tolist()
            if attribute.level == "track":
                for t, level in enumerate(measured):
                    if applies[t]:
                        result[t].track[attribute.name] = level
            else:
                for bar, t, level in zip(every_bar, bar_track, measured, strict=True):
                    if applies[t]:
                        bar[attribute.token_type] = level
        return result

    def compute_track_tokens(self, score: Score, track: int) -> dict[str, int]:
        """The levels of one track by attribute name.

        Raises:
            IndexError: no such track.
        """
        table = NoteTable(score, track)
        return {
            a.name: a.quantize(a.value_at(table, None))
            for a in self._track_level
            if a.applies_to(table.tracks[0])
        }

    def compute_bar_tokens(self, score: Score, track: int, bar: int) -> dict[str, int]:
        """The levels of one bar by token type; a bar that does not exist counts as empty.

        Raises:
            IndexError: no such track.
        """
        table = NoteTable(score, track)
        return {
            a.token_type: a.quantize(a.value_at(table, bar))
            for a in self._bar_level
            if a.applies_to(table.tracks[0])
        }

    def compute_all(self, score: Score) -> list[dict[str, float]]:
        """The values, before they become levels, of all track attributes for every track.

        Drum tracks have those of melodic ones too, and the other way round.
        """
        table = NoteTable(score)
        columns = [attribute.measure(table).tolist() for attribute in self._track_level]
        names = [attribute.name for attribute in self._track_level]
        return [
            dict(zip(names, [column[t] for column in columns], strict=True))
            for t in range(len(score.tracks))
        ]

    def evaluate(self, requested: Mapping[str, int], score: Score, track: int) -> dict[str, float]:
        """1.0 for every track attribute that has the level asked for, else 0.0.

        Names of other things, bar attributes among them, are left out.

        Raises:
            IndexError: no such track.
        """
        table = NoteTable(score, track)
        return {
            name: float(attribute.quantize(attribute.value_at(table, None)) == level)
            for name, level in requested.items()
            if (attribute := self.get(name)) is not None and attribute.level == "track"
        }

    def report(
        self, score: Score, track: int, requested: Mapping[str, Any] | None = None
    ) -> Report:
        """What the model wrote, what the notes are, and what was asked for.

        Args:
            score: a generated score; its tracks hold the levels that were decoded.
            track: index of the track; empty results for one that does not exist.
            requested: levels by attribute name, and under ``"bar_attributes"`` by bar index and
                attribute name.
        """
        if not 0 <= track < len(score.tracks):
            return Report(track={}, bars=[])
        wanted: Mapping[str, Any] = requested or {}
        wanted_bars: Mapping[int, Mapping[str, int]] = wanted.get("bar_attributes", {})
        stored = score.tracks[track].attributes
        table = NoteTable(score, track)
        result = Report(track={}, bars=[{} for _ in table.bars])
        for attribute in self.attributes:
            if not attribute.applies_to(score.tracks[track]):
                continue
            name = attribute.name
            levels = attribute.levels(attribute.measure(table)).tolist()
            if attribute.level == "track":
                result["track"][name] = _compare(stored.get(name), levels[0], wanted.get(name))
                continue
            for bar, level in enumerate(levels):
                sampled = stored.get(bar_key(_decoded_name(attribute.token_type), bar))
                asked = wanted_bars.get(bar, {}).get(name)
                result["bars"][bar][name] = _compare(sampled, level, asked)
        return result


def _check_size(attribute: Attribute, domains: Mapping[str, int]) -> None:
    type_ = ALIASES.get(attribute.token_type, attribute.token_type)
    # other types are structure that an attribute borrows: NoteDuration has a value per tick
    if type_ in INFERRED and domains.get(type_, attribute.size) != attribute.size:
        raise EncoderConfigError(
            f"token_domains: {type_}: the attribute {attribute.name} has {attribute.size} levels, "
            f"not {domains[type_]}"
        )


def _decoded_name(token_type: str) -> str:
    """The name under which the decoder stores the levels of bars."""
    return next((name for name, type_ in BAR_LEVELS.items() if type_ == token_type), token_type)


def _compare(sampled: int | None, realized: int, requested: int | None) -> Comparison:
    return Comparison(
        sampled=sampled,
        realized=realized,
        requested=requested,
        consistent=None if sampled is None else sampled == realized,
        achieved=None if requested is None else realized == requested,
    )
