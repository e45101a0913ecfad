"""The recorded cases: where they are, and the packed form their scores come in.

Set ``MIDIGPT_VECTORS`` to run other sets of the same form.
"""

import json
import math
import os
from pathlib import Path

import pytest

from midigpt import Bar, Note, Score, Track

FOLDER = Path(os.environ.get("MIDIGPT_VECTORS", Path(__file__).parents[2] / "../shared/vectors"))

needs_vectors = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no vectors in {FOLDER}: set MIDIGPT_VECTORS to their folder"
)


def load(name):
    """The JSON file ``name``; empty where there are no vectors."""
    return json.loads((FOLDER / name).read_text()) if FOLDER.is_dir() else {}


def rows(name):
    """The lines of the JSON Lines file ``name``; empty where there are no vectors."""
    if not FOLDER.is_dir():
        return []
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


def unpack(packed):
    """The score of a packed record."""
    return Score(
        tracks=[
            Track(
                bars=[
                    Bar(
                        [Note(*note) for note in bar["notes"]],
                        *bar["ts"],
                        beat_length=bar.get("beat_length", math.nan),
                        future=bar.get("future", False),
                    )
                    for bar in track["bars"]
                ],
                instrument=track["instrument"],
                track_type=track["track_type"],
                attributes=track.get("attributes", {}),
            )
            for track in packed["tracks"]
        ],
        resolution=packed["resolution"],
        tempo=packed["tempo"],
    )
