"""Judges a checkpoint on pieces the training never saw, and writes the figures into its card.

``python models/starter/evaluate.py`` judges the starter; ``--checkpoint`` any other with the same
encoder, ``--card`` says which Markdown file gets the figures.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from contest import Tally, by_composer, by_copying, contest
from corpus import HERE
from pictures import control
from showcase import BANDS, from_scratch, show_infills, show_losses, show_songs
from trials import anything, controls, infills

from midigpt.inference.engine import InferenceEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from contest import Player

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
"""Between these marks of a card its figures are written."""

GROUPS = {
    "drum density": ("note_density",),
    "polyphony": ("min_polyphony", "max_polyphony"),
    "duration": ("min_note_duration", "max_note_duration"),
}
"""The attributes that the goals speak of together."""


ROWS: tuple[tuple[str, str, Callable[[Tally], float], str], ...] = (
    ("notes in the key of the context", "≥ 90 %", lambda t: 100 * t.figure("in key"), "{:.1f} %"),
    ("bars left silent", "< 2 %", lambda t: 100 * t.figure("silent"), "{:.1f} %"),
    ("requests that failed", "0", lambda t: float(sum(t.problems.values())), "{:.0f}"),
    ("requests without retry", "", lambda t: 100 * t.figure("without retry"), "{:.1f} %"),
    ("pitch range off the context's, semitones", "", lambda t: t.figure("range"), "{:.1f}"),
    ("onsets off the context's", "", lambda t: 100 * t.figure("onsets"), "{:.0f} %"),
    ("bars that repeat another", "", lambda t: 100 * t.figure("repeats"), "{:.0f} %"),
)


def table(tallies: dict[str, Tally]) -> Iterator[str]:
    """The figures in Markdown, a column for each contestant."""
    yield f"| | goal | {' | '.join(tallies)} |"
    yield f"|---|---|{'---|' * len(tallies)}"
    for title, goal, value, form in ROWS:
        cells = " | ".join(form.format(value(tally)) for tally in tallies.values())
        yield f"| {title} | {goal} | {cells} |"
    for title, names in GROUPS.items():
        found = [tally.control(names) for tally in tallies.values()]
        for part, goal, form in ((0, "", "exact"), (1, "≥ 80 %", "within one level")):
            cells = " | ".join(f"{100 * of[part]:.0f} %" for of in found)
            yield f"| {title}: {form} | {goal} | {cells} |"
        cells = " | ".join(f"{of[2]:.2f}" for of in found)
        yield f"| {title}: rank correlation | ≥ 0.8 | {cells} |"


def by_attribute(tally: Tally) -> Iterator[str]:
    """Control of each attribute in Markdown."""
    yield "| attribute | requests | exact | within one | rank correlation |"
    yield "|---|---|---|---|---|"
    for name, pairs in tally.levels.items():
        exact, near, rank = tally.control([name])
        yield f"| `{name}` | {len(pairs)} | {100 * exact:.0f} % | {100 * near:.0f} % | {rank:.2f} |"


def figures(card: Path, tallies: dict[str, Tally], lines: Sequence[str]) -> None:
    """Write the figures between their marks in a card."""
    first, *_ = tallies.values()
    text = card.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    found = "\n".join(["", *table(tallies), "", *by_attribute(first), "", *lines, ""])
    card.write_text(f"{before}{BEGIN}\n{found}\n{END}{after}", encoding="utf-8")


def speed(engine: InferenceEngine) -> str:
    """How fast a four-track song of eight 4/4 bars is written from nothing."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    score = from_scratch(engine, BANDS[0], seed=1)
    seconds = time.perf_counter() - began
    bars = sum(len(track.bars) for track in score.tracks)
    song = 8 * 2.0
    return (
        f"A song of eight 4/4 bars for {len(score.tracks)} tracks at 120 beats a minute, "
        f"{song:.0f} seconds of music, is written from nothing in {seconds:.1f} seconds on one "
        f"CPU thread: {bars / seconds:.1f} bars of a track a second, "
        f"where the song needs {bars / song:.0f}; {song / seconds:.1f} times real time for all "
        f"tracks together, {2 * bars / seconds:.0f} times for a single one."
    )


def main() -> None:
    """Judge a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--checkpoint", type=Path, default=HERE / "starter.safetensors")
    parser.add_argument("--card", type=Path, default=HERE / "README.md")
    parser.add_argument("--pictures", type=Path, default=HERE / "figures")
    parser.add_argument("--losses", type=Path, default=HERE / "figures" / "losses.csv")
    parser.add_argument("--infills", type=int, default=120)
    parser.add_argument("--each-level", type=int, default=20, help="requests of every level")
    parser.add_argument("--any", type=int, default=60, help="requests of all sorts")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    engine = InferenceEngine.from_checkpoint(arguments.checkpoint)
    language = engine.language
    trials = [
        *infills(arguments.infills),
        *controls(arguments.each_level, language),
        *anything(arguments.any, language),
    ]
    contestants: dict[str, Path | Player] = {
        arguments.checkpoint.stem: arguments.checkpoint,
        "untrained": HERE / "untrained.safetensors",
        "another bar copied": by_copying,
        "the composer": by_composer,
    }
    tallies = {
        name: contest(trials, name, player, arguments.processes)
        for name, player in contestants.items()
    }
    first = tallies[arguments.checkpoint.stem]
    arguments.pictures.mkdir(exist_ok=True)
    control(arguments.pictures / "control.png", first.levels)
    if arguments.losses.exists():
        show_losses(arguments.losses, arguments.pictures)
    show_infills(engine, arguments.pictures)
    show_songs(engine, arguments.pictures)
    lines = [f"{first.requests} requests to each contestant.", "", speed(engine)]
    lines += [f"Failed: {problem} ({count} times)." for problem, count in first.problems.items()]
    print("\n".join([*table(tallies), *by_attribute(first), *lines]))
    if arguments.card.exists():
        figures(arguments.card, tallies, lines)


if __name__ == "__main__":
    main()
