"""Requests to validate, and what becomes of them."""

import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.attributes import AttributeAnalyzer
from midigpt.errors import RequestValidationError
from midigpt.inference.request import GenerationRequest
from midigpt.inference.validate import check_request
from midigpt.tokens import EncoderConfig

ENCODER = {
    "resolution": 12,
    "supports_infill": True,
    "num_bars_map": [2, 4],
    "time_signatures": ["4/4", "3/4"],
    "genre_groups": {"jazz": ["swing"], "pop": []},
    "attribute_controls": [
        {"name": "note_density_quantile"},
        {"name": "polyphony_quantile", "params": {"mode": "max"}},
        {"name": "polyphony_quantile", "params": {"mode": "max", "level": "bar"}},
        {"name": "note_density_quantile", "params": {"level": "bar"}},
        {"name": "pitch_class_set"},
    ],
}
SWITCHABLE = {"switchable_velocity": True, "switchable_microtiming": True}
NO_NOTES = {"token_domains": [{"type": "Track", "domain_size": 2}]}


def song(bars=4):
    """A melodic and a drum track, one quarter note in every bar."""
    return Score(
        [
            Track([Bar([Note(60, 90, 0, 480)]) for _ in range(bars)]),
            Track([Bar([Note(36, 90, 0, 480)]) for _ in range(bars)], track_type="drum"),
        ]
    )


def ask(first=None, second=None, *, config=None, controls=None):
    """A request for bar 1 of the first track, with changes."""
    return {
        "tracks": [{"id": 0, "bars": [1]} | (first or {}), {"id": 1, "bars": []} | (second or {})],
        "config": config or {},
        "controls": controls or {},
    }


def check(request, score=None, encoder=None, *, analyzer=True):
    config = EncoderConfig.parse(ENCODER | (encoder or {}))
    if isinstance(request, dict):
        request = GenerationRequest.from_dict(request)
    attributes = AttributeAnalyzer.from_config(config) if analyzer else None
    return check_request(request, score or song(), config, attributes)


def settled(*args, **kwargs):
    return check(*args, **kwargs)[0]


def warnings(*args, **kwargs):
    return check(*args, **kwargs)[1]


def refusal(*args, error=RequestValidationError, **kwargs):
    with pytest.raises(error) as caught:
        check(*args, **kwargs)
    assert type(caught.value) is error
    return str(caught.value)
