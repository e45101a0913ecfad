"""Scores and requests of many tests."""

from midigpt import Bar, Note, Score, Track
from midigpt.inference import GenerationRequest

INFILL = {"id": 0, "bars": [1, 2]}
CONTINUE = {"id": 0, "bars": [2, 3], "autoregressive": True}
CONTEXT = {"id": 1, "bars": []}
WHOLE = {"bars": [], "autoregressive": True}


def song(*tracks, bars=4):
    """Tracks of such kinds, with a quarter note in every bar."""
    return Score(
        [
            Track([Bar([Note(60, 80, 0, 480)]) for _ in range(bars)], track_type=kind)
            for kind in tracks
        ]
    )


def request(*tracks, controls=None, **config):
    """A request with window 4 and seed 7, unless told otherwise."""
    settings = {"model_dim": 4, "seed": 7} | config
    return GenerationRequest.from_dict(
        {"tracks": list(tracks), "config": settings, "controls": controls or {}}
    )


def asked(engine, score, *tracks, controls=None, **config):
    """A session of such a request."""
    return engine.session(score, request(*tracks, controls=controls, **config))
