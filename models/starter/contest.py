"""Contests: trials put to a contestant, and what is counted about the outcomes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import torch
from corpus import starter_language
from measures import in_key, onset_distance, range_distance, rank_correlation, repeats
from tqdm import tqdm  # type: ignore[import-untyped]  # tqdm has no type information

from midigpt.errors import MidiGPTError
from midigpt.inference.engine import InferenceEngine
from midigpt.score import Bar, Score, Track

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trials import Trial

    from midigpt.attributes import AttributeAnalyzer

Player = Callable[["Trial"], "Outcome"]

CHUNK = 10
"""Trials that a process takes at a time."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        score: the finished score on the token grid; None if it failed.
        retried: whether a step needed another attempt.
        problem: what went wrong, if something did.
    """

    score: Score | None
    retried: bool = False
    problem: str = ""


@dataclass
class Tally:
    """Everything counted about one contestant.

    Attributes:
        samples: values by name of the measure; their mean is the figure.
        levels: requested and measured level by attribute.
        problems: what went wrong, and how often.
        requests: how many there were.
    """

    samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    levels: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    problems: Counter[str] = field(default_factory=Counter)
    requests: int = 0

    def add(self, other: Tally) -> None:
        """Count another tally in."""
        for name, values in other.samples.items():
            self.samples[name] += values
        for name, pairs in other.levels.items():
            self.levels[name] += pairs
        self.problems += other.problems
        self.requests += other.requests

    def figure(self, name: str) -> float:
        """The mean of a measure."""
        return mean(self.samples[name]) if self.samples[name] else float("nan")

    def control(self, names: Iterable[str]) -> tuple[float, float, float]:
        """Of some attributes: share met exactly, share within one level, rank correlation."""
        of_each = [self.levels[name] for name in names]
        pairs = [pair for of in of_each for pair in of]
        exact = mean(a == b for a, b in pairs)
        near = mean(abs(a - b) <= 1 for a, b in pairs)
        return exact, near, mean(rank_correlation(of) for of in of_each)


def by_engine(engine: InferenceEngine) -> Player:
    """Lets a checkpoint do it."""

    def play(trial: Trial) -> Outcome:
        retries: list[int] = []
        try:
            session = engine.session(trial.sent, trial.request)
            session.retry_sink = lambda attempt, _: retries.append(attempt)
            score = session.run()
        except MidiGPTError as error:
            return Outcome(None, bool(retries), str(error)[:80])
        return Outcome(engine.language.tokenizer.to_grid(score), bool(retries))

    return play


def by_copying(trial: Trial) -> Outcome:
    """Repeats another bar: the nearest of the track, else one of the first track of its kind."""
    tracks = list(trial.sent.tracks)
    for t in {t for t, _ in trial.cells}:
        own = tracks[t]
        source = own if any(bar.notes for bar in own.bars) else _alike(trial.sent, t)
        bars = [
            _nearest(source, b) if (t, b) in trial.cells and source else bar
            for b, bar in enumerate(own.bars)
        ]
        tracks[t] = Track(bars, own.instrument, own.track_type)
    return Outcome(Score(tracks, trial.sent.resolution, trial.sent.tempo))


def by_composer(trial: Trial) -> Outcome:
    """What the composer had written."""
    return Outcome(trial.truth)


def _alike(score: Score, t: int) -> Track | None:
    drum = score.tracks[t].is_drum
    return next(
        (
            track
            for track in score.tracks
            if track.is_drum == drum and any(bar.notes for bar in track.bars)
        ),
        None,
    )


def _nearest(track: Track, b: int) -> Bar:
    sounding = [other for other, bar in enumerate(track.bars) if bar.notes]
    return track.bars[min(sounding, key=lambda other: abs(other - b))]


def judge(trial: Trial, outcome: Outcome, analyzer: AttributeAnalyzer, tally: Tally) -> None:
    """Measure an outcome."""
    tally.requests += 1
    tally.samples["without retry"].append(not outcome.retried)
    if outcome.score is None:
        tally.problems[outcome.problem] += 1
        return
    written = [outcome.score.tracks[t].bars[b] for t, b in trial.cells]
    tally.samples["silent"] += [not bar.notes for bar in written]
    if trial.key is not None:
        for t, b in trial.cells:
            track = outcome.score.tracks[t]
            if not track.is_drum:
                tally.samples["in key"] += in_key(track.bars[b].notes, trial.key)
    if trial.kind == "infill":
        _against_context(trial, outcome.score, tally)
    if trial.wanted is not None:
        name, level = trial.wanted
        ((t, _), *_) = trial.cells
        found = analyzer.compute_track_tokens(outcome.score, t)[name]
        tally.levels[name].append((level, found))


def _against_context(trial: Trial, score: Score, tally: Tally) -> None:
    """What was written into some bars of a track against the track's other bars."""
    ((t, _), *_) = trial.cells
    track = score.tracks[t]
    inside = [track.bars[b] for _, b in trial.cells]
    outside = [bar for b, bar in enumerate(track.bars) if (t, b) not in trial.cells]
    pitches = None if track.is_drum else range_distance(inside, outside)
    onsets = onset_distance(inside, outside)
    if pitches is not None:
        tally.samples["range"].append(pitches)
    if onsets is not None:
        tally.samples["onsets"].append(onsets)
    tally.samples["repeats"] += [repeats(bar, outside) for bar in inside]


def contest(trials: Sequence[Trial], name: str, player: Path | Player, processes: int) -> Tally:
    """Let a contestant do all trials.

    Args:
        trials: the trials.
        name: of the contestant.
        player: a checkpoint, or a function.
        processes: among which the trials are divided.
    """
    total = Tally()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        begun = [
            pool.submit(_judged, player, trials[first : first + CHUNK])
            for first in range(0, len(trials), CHUNK)
        ]
        for done in tqdm(
            as_completed(begun), desc=name, total=len(begun), unit=f"{CHUNK} requests"
        ):
            total.add(done.result())
    return total


def _judged(player: Path | Player, trials: Sequence[Trial]) -> Tally:
    """A part of a contest, in a process of its own."""
    torch.set_num_threads(1)
    analyzer = starter_language().analyzer
    play = by_engine(_engine(player)) if isinstance(player, Path) else player
    tally = Tally()
    for trial in trials:
        judge(trial, play(trial), analyzer, tally)
    return tally


@cache
def _engine(checkpoint: Path) -> InferenceEngine:
    return InferenceEngine.from_checkpoint(checkpoint)
