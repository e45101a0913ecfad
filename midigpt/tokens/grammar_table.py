"""The grammar laid out over a vocabulary: where each token leads, and the tokens allowed there."""

from __future__ import annotations

from functools import cached_property, lru_cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from midigpt.tokens.grammar_types import (
    BAR_ATTRIBUTES,
    POSITION,
    TRACK_ATTRIBUTES,
    Counts,
    Last,
    Memory,
    Options,
    Types,
    followers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from midigpt.tokens.config import EncoderConfig
    from midigpt.tokens.vocabulary import Vocabulary

POSITIONS, MELODIC_TRACK, DRUM_TRACK, BAR, METER, FILL = range(6)
"""Columns that change more than the memory; they come first, then those of attributes."""

MOST_CHARTS = 16
"""How many charts of a layout are kept, each a byte per state and token."""

_EVENTS = (POSITION, "Track", "Track", "Bar", "TimeSig", "FillInStart")


class Chart(NamedTuple):
    """The grammar in plain tables, for whoever follows it without this package.

    It is exact until the number of bars or tracks, or an attribute that is given, changes what is
    allowed, or until the next fill begins.

    Attributes:
        moves: the next state, per state and token, (S, V).
        allowed: the tokens allowed in a state, but for the window, (S, V).
        windowed: per state, whether positions are limited to the window, (S,).
        windows: per token which position it is, and where the window begins and ends from then on;
            -1 where it is none, and where that stays, (3, V).
    """

    moves: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    windowed: NDArray[np.bool_]
    windows: NDArray[np.int64]


class Machine:
    """Where each token leads; the same for all generations.

    Tokens that act alike share a column. Two more columns, at the end, belong to no token: they
    turn the bar at hand into one of melody or of drums.

    Args:
        config: the encoder config; its meters bound the positions in a bar.
        vocabulary: the vocabulary.

    Attributes:
        vocabulary: the vocabulary.
        positions: the ids of positions.
        position_count: how many there are.
        meters: the ids of meters.
        names: per column, the type of its tokens.
        columns: per token, its column.
        memories: per state, what it remembers; a stream starts in state 0.
        moves: per state and column, the next state.
        usual_limit: grid positions of a bar that has no meter.
        limits: grid positions of a bar, per value of its meter.
    """

    def __init__(self, config: EncoderConfig, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.positions = vocabulary.span(POSITION)
        self.position_count = vocabulary.domain_size(POSITION)
        self.meters = vocabulary.span("TimeSig")
        types = [domain.type for domain in vocabulary.domains if domain.type not in _EVENTS]
        types.sort(key=lambda type_: type_ not in BAR_ATTRIBUTES | TRACK_ATTRIBUTES)
        self.names = [*_EVENTS, *types]
        self.columns = self._columns()
        self.memories, self.moves = self._explore()
        self.usual_limit = self._limit(4, 4, config.resolution)
        meters = config.time_signatures or ()
        unlisted = vocabulary.domain_size("TimeSig") - len(meters)
        self.limits = [self._limit(n, d, config.resolution) for n, d in meters]
        self.limits += [self.usual_limit] * unlisted

    @cached_property
    def token_moves(self) -> NDArray[np.int64]:
        """The next state per state and token, (S, V)."""
        return np.array(self.moves, dtype=np.int64)[:, self.columns]

    @cached_property
    def windows(self) -> NDArray[np.int64]:
        """As in a chart."""
        windows = np.full((3, len(self.columns)), -1, dtype=np.int64)
        positions, lows, highs = windows
        positions[self.positions] = range(self.position_count)
        lows[self.positions] = positions[self.positions] + 1
        for token, column in enumerate(self.columns):
            if column in {BAR, FILL}:
                lows[token] = 0
            if column == BAR:
                highs[token] = self.usual_limit
            elif column == METER:
                highs[token] = self.limits[token - self.meters.start]
        return windows

    def _columns(self) -> list[int]:
        # the later of two columns of one name: a track is one of drums unless it is not
        column = {name: index for index, name in enumerate(self.names)}
        drum = self.vocabulary.span("Track").start + 1
        return [
            MELODIC_TRACK if type_ == "Track" and token != drum else column[type_]
            for token, type_ in enumerate(self.vocabulary.types)
        ]

    def _explore(self) -> tuple[list[Memory], list[list[int]]]:
        """Every memory a stream can lead to, and where each column leads from there."""
        memories = [Memory()]
        states = {memories[0]: 0}
        moves = []
        for memory in memories:  # grows while it is walked
            reached = [
                memory.after(name, drum=column == DRUM_TRACK)
                for column, name in enumerate(self.names)
            ]
            reached += [memory._replace(drum=False), memory._replace(drum=True)]
            for successor in reached:
                if successor not in states:
                    states[successor] = len(memories)
                    memories.append(successor)
            moves.append([states[successor] for successor in reached])
        return memories, moves

    def _limit(self, numerator: int, denominator: int, resolution: int) -> int:
        """Length of a bar in grid positions, rounded up, as far as there are positions."""
        length = -(-4 * numerator * resolution // denominator)
        return min(length, self.position_count)


class Layout:
    """What is allowed in each state, under one set of options.

    Where strict rules have attributes to offer, a state has not one row but a block of them, one
    for each set of attributes that are spent: bit i of the row's place in the block stands for the
    i-th attribute. Those that do not fit the track are spent from the start.

    Args:
        machine: the states.
        options: the options.
        kinds: token type of an attribute to the kind of track it fits.

    Attributes:
        rows: allowed tokens, (R, V).
        starts: per state, the first row of its block: by whether there are enough bars, plus 2 if
            there are enough tracks.
        places: per state, the size of its block less one.
        windowed: per state, whether positions are limited to the window.
        bits: per column, the bit of that attribute in a track header and in a bar.
        unfit_header: bits spent from the start in the header of a melodic and of a drum track.
        unfit_bar: the same in their bars.
        quiet: the first column that changes nothing but the memory.
        chart: the grammar where there are enough bars (1) or tracks (2), and with these bits of
            spent attributes.
    """

    def __init__(self, machine: Machine, options: Options, kinds: Mapping[str, str]) -> None:
        offered = machine.names if options.strict else []
        self._track = tuple(name for name in offered if name in TRACK_ATTRIBUTES)
        self._bar = tuple(name for name in offered if name in BAR_ATTRIBUTES)
        self.bits = [(_bit(name, self._track), _bit(name, self._bar)) for name in machine.names]
        self.unfit_header = _unfit(self._track, kinds)
        self.unfit_bar = _unfit(self._bar, kinds)
        self.quiet = len(_EVENTS) + len({*self._track, *self._bar})
        self.places = [(1 << len(self._spendable(memory.last))) - 1 for memory in machine.memories]
        rows = _Rows(machine.vocabulary)
        self.starts = self._starts(machine, options, rows)
        self.rows = rows.finished()
        self._machine = machine
        self.chart = lru_cache(maxsize=MOST_CHARTS)(self._chart)
        self.windowed = [
            (memory.in_bar or memory.in_fill)
            and (options.strict or memory.last is not Last.BAR_ATTRIBUTE)
            and bool(self.rows[starts[0], machine.positions].any())
            for memory, starts in zip(machine.memories, self.starts, strict=True)
        ]

    def _chart(self, enough: int, spent: int) -> Chart:
        rows = [
            starts[enough] + (place & spent)
            for starts, place in zip(self.starts, self.places, strict=True)
        ]
        machine = self._machine
        return Chart(machine.token_moves, self.rows[rows], np.array(self.windowed), machine.windows)

    def _starts(self, machine: Machine, options: Options, rows: _Rows) -> list[tuple[int, ...]]:
        every = frozenset(machine.names)
        situations = {
            (in_fill, has_note): [
                followers(every, options, Counts(bars, tracks), in_fill=in_fill, has_note=has_note)
                for tracks, bars in product((False, True), repeat=2)
            ]
            for in_fill, has_note in product((False, True), repeat=2)
        }
        return [
            tuple(
                rows.block(allowed[memory.last], self._spendable(memory.last))
                for allowed in situations[memory.in_fill, memory.has_note]
            )
            for memory in machine.memories
        ]

    def _spendable(self, last: Last) -> tuple[str, ...]:
        """The attributes that are spent one by one after such a token."""
        if last is Last.HEADER:
            return self._track
        return self._bar if last in {Last.BAR, Last.BAR_ATTRIBUTE, Last.METER} else ()


class _Rows:
    """Rows of allowed tokens; equal blocks are kept once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: dict[tuple[Types, tuple[str, ...]], int] = {}
        self._blocks: list[NDArray[np.bool_]] = []
        self._count = 0

    def block(self, types: Types, spendable: tuple[str, ...]) -> int:
        """Where the rows begin that allow these types, without the spent ones."""
        if (types, spendable) not in self._known:
            block = np.zeros((1 << len(spendable), len(self._vocabulary)), dtype=np.bool_)
            for type_ in types:
                block[:, self._vocabulary.span(type_)] = True
            for i, type_ in enumerate(spendable):
                spent = np.arange(len(block)) >> i & 1 == 1
                block[spent, self._vocabulary.span(type_)] = False
            self._known[types, spendable] = self._count
            self._blocks.append(block)
            self._count += len(block)
        return self._known[types, spendable]

    def finished(self) -> NDArray[np.bool_]:
        """All rows, read only."""
        rows = np.concatenate(self._blocks)
        rows.flags.writeable = False
        return rows


def _bit(name: str, names: Sequence[str]) -> int:
    return 1 << names.index(name) if name in names else 0


def _unfit(names: Sequence[str], kinds: Mapping[str, str]) -> tuple[int, int]:
    """The bits of what does not belong to melodic tracks, and to drum tracks."""
    only_drums = sum(_bit(name, names) for name in names if kinds.get(name) == "drum")
    only_melodic = sum(_bit(name, names) for name in names if kinds.get(name) == "melodic")
    return only_drums, only_melodic
