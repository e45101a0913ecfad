"""The forms that both sides answer in. Imported by either, so nothing of ``midigpt`` is here."""

import numpy as np

SETTLED = ("model_dim", "bars_per_step", "tracks_per_step", "mask_mode", "temperature_escalation")
"""Settings that validation may change."""

_NOTE = ("pitch", "velocity", "onset_ticks", "duration_ticks", "delta")


def as_dict(packed):
    """The dictionary form of a packed score."""
    return {
        "resolution": packed["resolution"],
        "tempo": packed["tempo"],
        "tracks": [
            {
                "instrument": track["instrument"],
                "track_type": track["track_type"],
                "bars": [
                    {
                        "ts_numerator": bar["ts"][0],
                        "ts_denominator": bar["ts"][1],
                        "future": bar.get("future", False),
                        "notes": [dict(zip(_NOTE, note, strict=True)) for note in bar["notes"]],
                    }
                    for bar in track["bars"]
                ],
            }
            for track in packed["tracks"]
        ],
    }


def packed(score):
    """The packed form of a score of either side."""
    return {
        "resolution": score.resolution,
        "tempo": score.tempo,
        "tracks": [
            {
                "instrument": track.instrument,
                "track_type": track.track_type,
                "attributes": dict(track.attributes),
                "bars": [
                    {
                        "ts": [bar.ts_numerator, bar.ts_denominator],
                        "beat_length": bar.beat_length,
                        "notes": [[getattr(note, name) for name in _NOTE] for note in bar.notes],
                    }
                    for bar in track.bars
                ],
            }
            for track in score.tracks
        ],
    }


def runs(mask):
    """The ranges [start, end) of what is allowed."""
    edges = np.flatnonzero(np.diff(np.asarray(mask, np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2).tolist()
