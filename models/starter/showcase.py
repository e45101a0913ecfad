"""What a listener would be shown: infills and songs from nothing, as piano rolls."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from corpus import HERE
from pictures import curve, rolls
from trials import infills

from midigpt.inference.request import GenerationRequest, InferenceConfig, TrackPrompt
from midigpt.score import Bar, Score, Track

if TYPE_CHECKING:
    from pathlib import Path

    from midigpt.inference.engine import InferenceEngine

Band = tuple[tuple[int, str], ...]

DRUMS, BASS = (0, "drum"), (33, "melodic")
BANDS: tuple[Band, ...] = (
    (DRUMS, BASS, (0, "melodic"), (73, "melodic")),
    (BASS, (24, "melodic"), (48, "melodic"), DRUMS),
    ((0, "melodic"),),
    ((40, "melodic"), (41, "melodic"), (42, "melodic")),
    (DRUMS, (38, "melodic"), (81, "melodic"), (89, "melodic")),
)
"""Programs and kinds of the tracks of songs from nothing."""

METERS = ((4, 4), (4, 4), (3, 4), (4, 4), (4, 4))


def from_scratch(
    engine: InferenceEngine, band: Band, seed: int, meter: tuple[int, int] = (4, 4)
) -> Score:
    """Eight bars, written track after track."""
    tracks = [Track([Bar([], *meter) for _ in range(8)], *member) for member in band]
    prompts = [TrackPrompt(id=t, autoregressive=True) for t in range(len(band))]
    config = InferenceConfig(seed=seed, model_dim=8, bars_per_step=0)
    return engine.session(Score(tracks), GenerationRequest(prompts, config)).run()


def show_songs(engine: InferenceEngine, folder: Path) -> None:
    """A picture for each band."""
    for number, (band, meter) in enumerate(zip(BANDS, METERS, strict=True), 1):
        song = from_scratch(engine, band, number, meter)
        rolls(folder / f"song-{number}.png", song, title=f"song {number}, from nothing")


def show_losses(log: Path, folder: Path) -> None:
    """The curve of a training."""
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    names = [name for name in rows[0] if name not in {"step", "minutes"}]
    curve(folder / "losses.png", steps, {n: [float(row[n]) for row in rows] for n in names})


def show_infills(engine: InferenceEngine, folder: Path, count: int = 9) -> None:
    """Pictures of pieces with some bars written anew; the last is not by the composer."""
    for number, trial in enumerate(infills(count), 1):
        score = engine.session(trial.sent, trial.request).run()
        title = f"infill {number}: the shaded bars are the model's"
        rolls(folder / f"infill-{number}.png", score, trial.cells, title)
    song = Score.from_midi(HERE.parents[1] / "examples" / "song.mid")
    for track in song.tracks:
        del track.bars[8:]
    cells = [(0, b) for b in (4, 5, 6, 7)]
    prompts = [TrackPrompt(id=t, bars=[b for of, b in cells if of == t]) for t in range(5)]
    request = GenerationRequest(prompts, InferenceConfig(seed=1, model_dim=8))
    score = engine.session(song, request).run()
    title = f"infill {count + 1}: examples/song.mid, which the composer did not write"
    rolls(folder / f"infill-{count + 1}.png", score, cells, title)
