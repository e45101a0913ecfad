"""Which tokens may come next.

The grammar is a finite machine over token types, laid out once per vocabulary as tables: a move per
state and token, and a row of allowed tokens per state. Only positions inside a bar depend on more
than a table can hold; they are cut to a window, so that a row and two numbers say everything.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from midigpt.tokens.grammar_table import (
    BAR,
    DRUM_TRACK,
    FILL,
    METER,
    POSITIONS,
    Chart,
    Layout,
    Machine,
)
from midigpt.tokens.grammar_types import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from midigpt.tokens.config import EncoderConfig
    from midigpt.tokens.vocabulary import Vocabulary

_MOST = 1 << 62  # more bars or tracks than any stream has


class GrammarTable:
    """The grammar over one vocabulary.

    Args:
        config: the encoder config; its meters bound the positions in a bar.
        vocabulary: the vocabulary.
        attribute_kinds: token type of an attribute to the tracks it belongs to, ``"melodic"``,
            ``"drum"`` or ``"both"``; types that are left out belong to both. Strict rules ask.
    """

    def __init__(
        self,
        config: EncoderConfig,
        vocabulary: Vocabulary,
        attribute_kinds: Mapping[str, str] | None = None,
    ) -> None:
        self._machine = Machine(config, vocabulary)
        self._kinds = dict(attribute_kinds or {})
        self._layouts: dict[Options, Layout] = {}

    def rules(
        self,
        *,
        require_notes: bool = True,
        exact_bars: int | None = None,
        max_tracks: int | None = None,
        autoregressive: bool = False,
        mask_track_start: bool = False,
        mask_track_end: bool = False,
        strict: bool = False,
    ) -> GrammarRules:
        """The grammar under the options of a generation; its rows are computed once.

        Args:
            require_notes: bars and fills may not end without a note.
            exact_bars: every track has this many bars.
            max_tracks: no track may start after this many.
            autoregressive: there are no fills.
            mask_track_start: no track may start.
            mask_track_end: no track may end.
            strict: keep a weak model on its way where the published grammar lets it stray. After a
                fill only the next one may start, each attribute is given once per track header or
                bar and only on tracks it belongs to, and the position window holds right after a
                bar's attributes too.
        """
        options = Options(
            require_notes,
            exact_bars is not None,
            autoregressive,
            mask_track_start,
            mask_track_end,
            strict,
        )
        if options not in self._layouts:
            self._layouts[options] = Layout(self._machine, options, self._kinds)
        enough_bars = _MOST if exact_bars is None else exact_bars
        enough_tracks = _MOST if max_tracks is None else max_tracks
        layout = self._layouts[options]
        return GrammarRules(
            layout.rows,
            self._machine.positions,
            GrammarState(self._machine, layout, enough_bars, enough_tracks),
        )


class GrammarRules:
    """The grammar under the options of one generation.

    Attributes:
        rows: allowed tokens, (R, V), read only.
        positions: the ids of positions; a state's window counts from the first of them.
    """

    def __init__(self, rows: NDArray[np.bool_], positions: slice, start: GrammarState) -> None:
        self.rows = rows
        self.positions = positions
        self._start = start

    def start(self) -> GrammarState:
        """The state before the first token."""
        return self._start.copy()


class GrammarState:
    """How far one row of a generation has come.

    Allowed next is row ``row`` of :attr:`GrammarRules.rows`; if ``windowed``, of the positions only
    those from ``low`` up to but not including ``high``.

    Attributes:
        low: first grid position of the window.
        high: end of the window.
        bars: bars of the current track so far.
        tracks: tracks so far.
    """

    __slots__ = (
        "_columns",
        "_enough",
        "_enough_bars",
        "_enough_tracks",
        "_layout",
        "_machine",
        "_moves",
        "_quiet",
        "_spent",
        "_state",
        "bars",
        "high",
        "low",
        "tracks",
    )

    def __init__(
        self, machine: Machine, layout: Layout, enough_bars: int, enough_tracks: int
    ) -> None:
        self._machine = machine
        self._layout = layout
        self._columns = machine.columns
        self._moves = machine.moves
        self._quiet = layout.quiet
        self._enough_bars = enough_bars
        self._enough_tracks = enough_tracks
        self._state = 0
        self._spent = 0
        self.bars = 0
        self.tracks = 0
        self.low = 0
        self.high = machine.usual_limit
        self._count()

    def advance(self, token: int) -> None:
        """Observe a token."""
        column = self._columns[token]
        self._state = self._moves[self._state][column]
        if column == POSITIONS:
            self.low = token - self._machine.positions.start + 1
        elif column < self._quiet:
            self._event(column, token)

    def mask(self, out: NDArray[np.bool_]) -> None:
        """Write what is allowed next, shape (V,)."""
        out[:] = self._layout.rows[self.row]
        if self.windowed:
            positions = self._machine.positions
            out[positions.start : positions.start + self.low] = False
            out[positions.start + self.high : positions.stop] = False

    @property
    def state(self) -> int:
        """The state, of those in :attr:`chart`."""
        return self._state

    @property
    def chart(self) -> Chart:
        """The grammar as it is from here."""
        return self._layout.chart(self._enough, self._spent)

    def begin_fill(self, *, drum: bool, limit: int | None) -> None:
        """Say which bar is being filled, right after the token that starts the fill.

        Without this the last track and meter of the stream count.

        Args:
            drum: whether it is a bar of drums.
            limit: its length in grid positions, rounded up; None keeps the one in force.
        """
        self._state = self._moves[self._state][-1 if drum else -2]
        if limit is not None:
            self.high = min(limit, self._machine.position_count)

    def copy(self) -> Self:
        """An independent copy."""
        return copy(self)

    @property
    def row(self) -> int:
        """Index of the row of allowed tokens."""
        state = self._state
        return self._layout.starts[state][self._enough] + (self._layout.places[state] & self._spent)

    @property
    def windowed(self) -> bool:
        """Whether positions are limited to the window."""
        return self._layout.windowed[self._state]

    @property
    def in_bar(self) -> bool:
        """Whether a bar is open."""
        return self._machine.memories[self._state].in_bar

    @property
    def in_fill(self) -> bool:
        """Whether a fill is open."""
        return self._machine.memories[self._state].in_fill

    @property
    def drum(self) -> bool:
        """Whether the track, or the bar being filled, is one of drums."""
        return self._machine.memories[self._state].drum

    def _event(self, column: int, token: int) -> None:
        """Observe a token that changes more than the memory."""
        machine, layout = self._machine, self._layout
        if column == BAR:
            self.bars += 1
            self.low = 0
            self.high = machine.usual_limit
            self._spent = layout.unfit_bar[self.drum]
            self._count()
        elif column == METER:
            self.high = machine.limits[token - machine.meters.start]
        elif column == FILL:
            self.low = 0
        elif column <= DRUM_TRACK:
            self.tracks += 1
            self.bars = 0
            self._spent = layout.unfit_header[self.drum]
            self._count()
        else:
            self._spent |= layout.bits[column][self.in_bar]

    def _count(self) -> None:
        enough_tracks = self.tracks >= self._enough_tracks
        self._enough = (self.bars >= self._enough_bars) + 2 * enough_tracks
