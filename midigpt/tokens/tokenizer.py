"""Scores to tokens and back, at any resolution, with measured attribute levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from midigpt.tokens.decode import Decoder
from midigpt.tokens.encode import Encoded, EncodeOptions, encode_grid
from midigpt.tokens.genres import Genres
from midigpt.tokens.ids import TokenIds
from midigpt.tokens.time import at_resolution
from midigpt.tokens.types import SILENT_LEVELS, bar_key
from midigpt.tokens.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from midigpt.score import Score
    from midigpt.tokens.config import EncoderConfig

_DEFAULTS = EncodeOptions()


class Levels(Protocol):
    """Attribute levels of one track, as :mod:`midigpt.attributes` measures them."""

    @property
    def track(self) -> Mapping[str, int]:
        """Attribute name to level."""

    @property
    def bars(self) -> Sequence[Mapping[str, int]]:
        """Per bar, token type to level."""


class Analyzer(Protocol):
    """What the tokenizer asks of a measurer of attributes."""

    def token_domain_specs(self) -> Sequence[tuple[str, int]]:
        """Token type and number of levels of each attribute."""

    def compute_score(self, score: Score, /) -> Sequence[Levels]:
        """The levels of every track and bar."""


class Tokenizer:
    """One encoder: its vocabulary, and the way from scores to tokens and back.

    Args:
        config: the encoder config.
        analyzer: measures attribute levels; None to write only those stored on the tracks.

    Attributes:
        config: the encoder config.
        analyzer: as given.
        vocabulary: the tokens, those of the analyzer's attributes included.
        genres: the genres that have tokens.

    Raises:
        EncoderConfigError: the config's token domains do not fit together with the attributes, or
            leave too few velocity levels.
    """

    def __init__(self, config: EncoderConfig, analyzer: Analyzer | None = None) -> None:
        self.config = config
        self.analyzer = analyzer
        attribute_domains = analyzer.token_domain_specs() if analyzer else ()
        self.vocabulary = Vocabulary.from_config(config, attribute_domains)
        self.genres = Genres(config.genre_groups or {})
        self._ids = TokenIds(config, self.vocabulary)
        self._decoder = Decoder(config, self.vocabulary)

    def encode(
        self,
        score: Score,
        options: EncodeOptions = _DEFAULTS,
        *,
        compute_attributes: bool = True,
    ) -> Encoded:
        """The tokens of a score; the score is not modified.

        Levels that describe a hidden bar or a bar to be filled are written like any others.

        Args:
            score: at any resolution.
            options: what to write.
            compute_attributes: measure levels on the token grid, and write them instead of those
                stored on the tracks.

        Raises:
            EncodingError: something that has no tokens: a meter, a number of bars, bars to be
                filled, or a hidden bar where nothing hides it.
        """
        grid = self.to_grid(score)
        levels: list[Mapping[str, int]] = [track.attributes for track in grid.tracks]
        if compute_attributes and self.analyzer is not None:
            measured = self.analyzer.compute_score(grid)
            levels = [{**old, **_as_stored(new)} for old, new in zip(levels, measured, strict=True)]
        return encode_grid(self._ids, grid, levels, options)

    def decode(self, tokens: Sequence[int], *, resample: bool = True) -> Score:
        """The score that tokens tell, with the levels they name; tokens out of place are ignored.

        Drum notes are one tick of the grid long. A bar without ``BarEnd`` has length 0.

        Args:
            tokens: token ids, as :meth:`encode` writes them.
            resample: give the score at ``config.decode_resolution`` instead of
                ``config.resolution``. Where the encoder has microtiming, the part of a tick that
                is left of an onset is its ``delta``.

        Raises:
            EncodingError: a token outside the vocabulary.
        """
        grid = self._decoder.decode(tokens)
        return self.from_grid(grid) if resample else grid

    def to_grid(self, score: Score, *, nearest: bool = False) -> Score:
        """A copy of the score on the token grid; the same object if it is already there.

        Onsets are floored to the grid; where the encoder has microtiming, it holds what is lost.

        Args:
            score: at any resolution.
            nearest: round onsets to the nearest tick of their bar instead. That is closer to the
                music, but not what the published models learned from.
        """
        return at_resolution(
            score,
            self.config.resolution,
            microtiming=self.config.emit_delta_tokens,
            nearest=nearest,
        )

    def from_grid(self, score: Score) -> Score:
        """A copy of a score on the token grid at ``config.decode_resolution``."""
        return at_resolution(
            score, self.config.decode_resolution, microtiming=self.config.emit_delta_tokens
        )


def _as_stored(levels: Levels) -> dict[str, int]:
    """Measured levels as a track stores them."""
    stored = dict(levels.track)
    for b, by_type in enumerate(levels.bars):
        stored |= {
            bar_key(type_, b): level
            for type_, level in by_type.items()
            if type_ not in SILENT_LEVELS
        }
    return stored
