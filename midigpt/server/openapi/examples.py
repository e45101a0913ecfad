"""The examples of the OpenAPI document: requests that work, and what they are answered with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midigpt.server.errors import ErrorCode

Example = dict[str, Any]

_ID = "9f021ef8acb44e37a51b3b928f8887e4"
_BAR = {"ts_numerator": 4, "ts_denominator": 4}


def _notes(*pitches: int, quarter: int) -> list[dict[str, int]]:
    """Quarter notes, one after the other."""
    return [
        {"pitch": pitch, "velocity": 90, "onset_ticks": i * quarter, "duration_ticks": quarter}
        for i, pitch in enumerate(pitches)
    ]


def _score(*bars: list[dict[str, int]], resolution: int = 480) -> dict[str, Any]:
    """A score of one track."""
    track = {
        "instrument": 0,
        "track_type": "melodic",
        "bars": [{**_BAR, "notes": notes} for notes in bars],
    }
    return {"resolution": resolution, "tempo": 500_000, "tracks": [track]}


_FIRST = _notes(60, 64, 67, 64, quarter=480)
_LAST = _notes(72, 67, 64, 60, quarter=480)


def _request(what: str, bars: list[int], config: Example, **prompt: Any) -> Example:  # noqa: ANN401 - any JSON
    request = {
        "tracks": [{"id": 0, "bars": bars, **prompt}],
        "config": {"model_dim": 4, "seed": 7, **config},
    }
    return {"summary": what, "value": {"score": _score(_FIRST, [], [], _LAST), "request": request}}


REQUESTS: dict[str, Example] = {
    "fill_in": _request("Write the two bars in the middle", [1, 2], {}),
    "continue": _request("Go on after the first bar", [1, 2, 3], {}, autoregressive=True),
    "shape": _request(
        "Only pitches of C major, most of them near middle C",
        [1, 2],
        {"temperature": 0.9, "density_hard_limit": 8},
        controls={"pitch_mask": {"scale": "major", "shape": {"type": "normal", "mean": 60}}},
    ),
    "candidates": _request("Two results to choose from", [1, 2], {"num_candidates": 2}),
    "plan": _request("Only say what would be done", [1, 2], {"plan_only": True}),
}
"""Bodies of ``POST /generate``. They are accepted by any checkpoint that fills in bars."""


def _played(*pitches: int) -> list[dict[str, int]]:
    return [{**note, "delta": 0} for note in _notes(*pitches, quarter=1920)]


def _written() -> dict[str, Any]:
    bars = [_played(60, 64, 67, 64), _played(65, 69, 72), _played(71, 67), _played(72, 67, 64, 60)]
    score = _score(*bars, resolution=1920)
    for bar in score["tracks"][0]["bars"]:
        bar["future"] = False
    return score


_SAME = {
    "generated_bars": {"0": [1, 2]},
    "dropped_context": [],
    "timing": {"model_forward_s": 0.42, "encode_s": 0.01, "decode_s": 0.01, "gen_count": 24},
    "tokens": {
        "context_tokens": 58,
        "generated_tokens": 24,
        "peak_context_tokens": 82,
        "max_context_tokens": 2048,
        "context_utilization": 0.04,
        "tokens_per_second": 57.14,
        "truncated": False,
    },
    "warnings": [],
    "queue_s": 0.0,
}
_RESULT = {
    "request_id": _ID,
    "model": "starter",
    "status": "completed",
    "score": _written(),
    "seed": 7,
    "attempts": 1,
    **_SAME,
}
_CANDIDATE = {
    "score": _written(),
    "seed": 7,
    "gen_count": 24,
    "error": None,
    "truncated": False,
}
_FAILED = {
    "score": None,
    "seed": 8,
    "gen_count": 0,
    "error": "every attempt was rejected",
    "truncated": False,
}

OUTPUTS: dict[str, Example] = {
    "result": {"summary": "One result", "value": _RESULT},
    "cancelled": {
        "summary": "Cancelled before its turn",
        "value": {
            **_RESULT,
            "status": "cancelled",
            "cancel_reason": "client",
            "score": None,
            "generated_bars": {},
        },
    },
    "candidates": {
        "summary": "Two results, one of which failed",
        "value": {
            "request_id": _ID,
            "model": "starter",
            "status": "completed",
            "base_seed": 7,
            "candidates": [_CANDIDATE, _FAILED],
            "summary": {
                "requested": 2,
                "succeeded": 1,
                "failed": 1,
                "cancelled": 0,
                "failures": [{"seed": 8, "reason": "every attempt was rejected"}],
            },
            **_SAME,
        },
    },
    "plan": {
        "summary": "A plan",
        "value": {
            "request_id": _ID,
            "model": "starter",
            "status": "planned",
            "model_dim": 4,
            "plan": [{"window": [0, 4], "autoregressive": False, "generate": {"0": [1, 2]}}],
            "dropped_context": [],
            "warnings": [],
        },
    },
}
"""Answers of ``POST /generate``."""

FRAMES: list[dict[str, Any]] = [
    {"type": "queued", "request_id": _ID, "position": 1},
    {
        "type": "notes",
        "notes": [
            {
                "track": 0,
                "bar": 1,
                "pitch": 65,
                "onset_ticks": 0,
                "duration_ticks": 1920,
                "velocity": 90,
                "delta": 0,
            }
        ],
        "progress": {
            "generated_tokens": 4,
            "model_forward_s": 0.07,
            "context_tokens": 58,
            "step_generated_tokens": 4,
            "max_context_tokens": 2048,
            "attempt": 1,
        },
    },
    {"type": "done", "response": _RESULT},
]
"""The frames of a stream."""

ERRORS: dict[ErrorCode, Example] = {
    "malformed": {
        "detail": "request.config.temperature must be a finite number, got a string",
        "path": "request.config.temperature",
        "request_id": _ID,
    },
    "unknown_model": {
        "detail": "there is no such model; loaded: starter",
        "path": "model",
        "request_id": _ID,
    },
    "unauthorized": {"detail": "send the key of this server: Authorization: Bearer KEY"},
    "forbidden_origin": {
        "detail": "web pages of https://example.org may not use this server; its flag"
        " --cors-origin names those that may"
    },
    "not_found": {"detail": "no request of this id is waiting or running"},
    "method_not_allowed": {"detail": "/generate does not take GET"},
    "timeout": {"detail": "the body did not arrive within 60 s"},
    "duplicate_request_id": {
        "detail": "a request with this request_id is waiting or running",
        "path": "request_id",
        "request_id": _ID,
    },
    "too_large": {"detail": "the body is longer than 33554432 bytes"},
    "unsupported_media_type": {"detail": "Content-Type must be application/json"},
    "invalid_request": {
        "detail": "request.tracks[0].bars (track_id=0, bar 4) has 4; bars must be in 0..3",
        "path": "request.tracks[0].bars",
        "request_id": _ID,
    },
    "inference_failed": {"detail": "every attempt was rejected", "request_id": _ID},
    "internal": {
        "detail": "the server failed on this request; its log says why",
        "request_id": _ID,
    },
    "busy": {"detail": "64 requests are waiting or running already", "request_id": _ID},
    "loading": {"detail": "the model is still being loaded"},
    "shutting_down": {"detail": "the server is stopping", "request_id": _ID},
    "unavailable": {"detail": "the server is not ready"},
}
"""An error of each code, without the code."""
