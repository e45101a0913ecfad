"""The requests that both engines get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from midigpt import Score

Job = dict[str, Any]


def song(notes: int, tracks: int, bars: int) -> dict[str, Any]:
    """A score of equal bars with so many notes each."""
    bar = {
        "notes": [
            {
                "pitch": 36 + n * 7 % 48,
                "velocity": 60 + n % 4 * 8,
                "onset_ticks": 1920 * n // max(1, notes) // 40 * 40,
                "duration_ticks": 120,
            }
            for n in range(notes)
        ]
    }
    return {"resolution": 480, "tracks": [{"bars": [bar] * bars}] * tracks}


def job(
    notes: int,
    targets: list[int],
    tracks: int = 1,
    bars: int = 4,
    **config: object,
) -> Job:
    """Fill in bars of the first track of :func:`song`, one at a time."""
    prompts = [{"id": t, "bars": targets if t == 0 else []} for t in range(tracks)]
    settings = {
        "seed": 1,
        "density_hard_limit": 50,
        "novelty_check": False,
        "silence_check": False,
        "max_attempts": 1,
        "context": "all",
        "bars_per_step": 1,
    }
    return {
        "score": song(notes, tracks, bars),
        "request": {"tracks": prompts, "config": settings | config},
        "candidates": config.get("num_candidates", 1),
    }


def music(track: int, **config: object) -> Job:
    """Four bars of one track of a real song, with the rest of it around them."""
    score = Score.from_midi(Path(__file__).parents[1] / "examples" / "song.mid")
    tracks = range(len(score.tracks))
    prompts = [{"id": t, "bars": [4, 5, 6, 7] if t == track else []} for t in tracks]
    request = {"tracks": prompts, "config": {"seed": track, "max_attempts": 1} | config}
    candidates = config.get("num_candidates", 1)
    return {"score": score.to_dict(), "request": request, "candidates": candidates}


ONE_ROW = {256: job(20, [1]), 1024: job(96, [1]), 1900: job(195, [1])}
"""Single steps, by the approximate length of the prompt."""

CANDIDATES = job(24, [1], num_candidates=8)
INFILL = job(10, list(range(0, 16, 2)), tracks=4, bars=16)
AGAIN = [job(97, [1], seed=1), job(97, [1], seed=2)]
STREAM = job(24, [1]) | {"stream": True}
LARGE = job(156, list(range(1, 32, 2)), tracks=4, bars=32) | {"prepare": True}
"""20,000 notes, made ready and not run."""

SONG = [music(track) for track in range(5)]
SONG_CANDIDATES = [music(track, num_candidates=8) for track in range(5)]
"""For a trained model, whose tokens repeat each other as music does."""
