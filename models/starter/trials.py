"""Trials: requests about pieces the training never saw, by which models are judged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from composer import Key, Piece, compose
from composer.dice import dice
from lessons import draw_exercise, without

from midigpt.inference.request import GenerationRequest, InferenceConfig, TrackPrompt
from midigpt.score import Score, Track

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midigpt.inference.language import Language

UNHEARD = "evaluation"
"""What the names of the pieces begin with; training uses other names."""

Cell = tuple[int, int]


@dataclass(frozen=True)
class Trial:
    """A request to be judged.

    Attributes:
        kind: ``"infill"``, ``"control"`` or ``"any"``.
        truth: the piece.
        sent: the piece as it is sent.
        key: its key; None where it is not judged.
        request: what is asked for.
        cells: the (track, bar) cells to be written.
        wanted: attribute and level that are judged; None for none.
    """

    kind: str
    truth: Score
    sent: Score
    key: Key | None
    request: GenerationRequest
    cells: tuple[Cell, ...]
    wanted: tuple[str, int] | None = None


@dataclass
class Donors:
    """Levels that tracks of composed pieces really have together.

    Attributes:
        levels: by attribute and level, the levels of tracks that have it.
    """

    levels: dict[tuple[str, int], list[dict[str, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    @classmethod
    def of(cls, pieces: int, language: Language) -> Donors:
        """Those of so many unheard pieces."""
        found = cls()
        for number in range(pieces):
            score = compose(f"{UNHEARD} donor {number}").score
            for levels in language.analyzer.compute_score(_cut(score, 8)):
                for name, level in levels.track.items():
                    found.levels[name, level].append(levels.track)
        return found


def infills(count: int) -> Iterator[Trial]:
    """One to four bars of one track are empty, and nothing is said about them."""
    number = 0
    while count:
        number += 1
        rng = dice(UNHEARD, "infill", number)
        piece = _unheard(number, 8)
        t = rng.randrange(len(piece.score.tracks))
        length = rng.randint(1, 4)
        first = rng.randint(0, 8 - length)
        cells = tuple((t, b) for b in range(first, first + length))
        if not all(bar.notes for bar in piece.score.tracks[t].bars):
            continue
        config = InferenceConfig(seed=number, model_dim=rng.choice((4, 8)))
        yield _trial("infill", piece, cells, config)
        count -= 1


def controls(each: int, language: Language) -> Iterator[Trial]:
    """A whole track is empty and gets the levels of a track of another piece.

    Every level of every attribute is asked for equally often.
    """
    donors = Donors.of(300, language)
    for attribute in language.analyzer.attributes:
        for level in range(attribute.size):
            for index in range(each):
                rng = dice(UNHEARD, attribute.name, level, index)
                bars = rng.choice((4, 8))
                number = rng.randrange(10**6)
                while True:
                    piece = _unheard(number, bars)
                    fitting = [
                        t
                        for t, track in enumerate(piece.score.tracks)
                        if attribute.applies_to(track)
                    ]
                    if fitting:
                        break
                    number += 1
                t = rng.choice(fitting)
                asked = rng.choice(donors.levels[attribute.name, level])
                cells = tuple((t, b) for b in range(bars))
                config = InferenceConfig(seed=index, model_dim=bars, bars_per_step=0)
                trial = _trial("control", piece, cells, config, dict(asked))
                yield Trial(**{**vars(trial), "wanted": (attribute.name, level)})


def anything(count: int, language: Language) -> Iterator[Trial]:
    """Requests of all sorts: several tracks, continuations, hidden bars."""
    number = 0
    while count:
        number += 1
        piece = _unheard(10**7 + number, 8)
        exercise = draw_exercise(dice(UNHEARD, "any", number), piece.score, language)
        if exercise is None:
            continue
        cells = tuple((p.id, b) for p in exercise.request.tracks for b in p.bars)
        yield Trial("any", exercise.truth, exercise.sent, None, exercise.request, cells)
        count -= 1


def _trial(
    kind: str,
    piece: Piece,
    cells: tuple[Cell, ...],
    config: InferenceConfig,
    asked: dict[str, int] | None = None,
) -> Trial:
    prompts = []
    for t in range(len(piece.score.tracks)):
        bars = [b for of, b in cells if of == t]
        prompts.append(TrackPrompt(id=t, bars=bars, attributes=(asked or {}) if bars else {}))
    request = GenerationRequest(prompts, config)
    sent = without(piece.score, cells)
    return Trial(kind, piece.score, sent, piece.key, request, cells)


def _unheard(number: int, bars: int) -> Piece:
    """The beginning of a piece, at most four of its tracks."""
    piece = compose(f"{UNHEARD} {number}")
    return Piece(_cut(piece.score, bars), piece.key)


def _cut(score: Score, bars: int) -> Score:
    tracks = [
        Track(track.bars[:bars], track.instrument, track.track_type)
        for track in score.tracks
        if any(bar.notes for bar in track.bars[:bars])
    ]
    return Score(tracks[:4], score.resolution, score.tempo)
