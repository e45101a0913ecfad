"""Schemas of the controls, which are checked by hand: see :mod:`midigpt.inference.controls`.

They say what is accepted whatever the checkpoint, no more and no less, as far as a schema can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midigpt.inference.controls import GRID_UNITS, MAX_POLYPHONY, SCALES

if TYPE_CHECKING:
    from collections.abc import Iterable

Schema = dict[str, Any]

METER: Schema = {
    "type": "integer",
    "minimum": 0,
    "description": "place of a meter in time_signatures of /info",
}
BAR_NUMBERS: Schema = {
    "pattern": "^(0|[1-9][0-9]{0,17})$",
    "description": "number of a bar to write",
}
_INTEGERS: Schema = {"type": "array", "items": {"type": "integer"}}


def closed(description: str, members: Schema, required: Iterable[str] = (), **more: Any) -> Schema:  # noqa: ANN401 - any JSON
    """An object with these members and no others."""
    return {
        "type": "object",
        "description": description,
        "properties": members,
        "required": [*required],
        "additionalProperties": False,
        **more,
    }


def _number(description: str, **limits: Any) -> Schema:  # noqa: ANN401 - as above
    return {"type": "number", "description": description, **limits}


_IGNORED = {"description": "has no meaning for this type"}
_UNIFORM = closed(
    "All pitches from min to max alike, and no others; min must be at most max.",
    {
        "type": {"const": "uniform"},
        "min": _number("lowest pitch", default=0),
        "max": _number("highest pitch", default=127),
        "mean": _IGNORED,
        "std": _IGNORED,
    },
    ["type"],
)
_NORMAL = closed(
    "Pitches near the mean more gladly.",
    {
        "type": {"const": "normal"},
        "mean": _number("likeliest pitch", default=60),
        "std": _number("standard deviation in semitones", exclusiveMinimum=0, default=12),
        "min": _IGNORED,
        "max": _IGNORED,
    },
    ["type"],
)
_PITCH_MASK = closed(
    "Which pitches may be played; at least one must be left. An empty object does nothing.",
    {
        "pitches": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 127},
            "minItems": 1,
            "description": "these and no others; scale and pitch_classes then have no effect",
        },
        "scale": {"enum": sorted(SCALES), "description": "not together with pitch_classes"},
        "root": {
            "type": "integer",
            "default": 0,
            "description": "root of the scale, modulo 12: 0 is C",
        },
        "pitch_classes": {**_INTEGERS, "description": "modulo 12: 0 is C"},
        "shape": {"oneOf": [_UNIFORM, _NORMAL]},
    },
    **{"not": {"required": ["scale", "pitch_classes"]}},
)
_POSITION = closed(
    "An onset in every bar.",
    {
        "pos": {
            "type": "integer",
            "minimum": 0,
            "description": "ticks from the start of the bar; resolution of /info is a quarter",
        },
        "polyphony": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_POLYPHONY,
            "default": 1,
            "description": "notes that begin there",
        },
    },
    ["pos"],
)
_RHYTHM_MASK = closed(
    "When notes may begin: either positions or grid. Positions need tracks_per_step 1 or auto.",
    {
        "positions": {
            "type": "array",
            "items": _POSITION,
            "minItems": 1,
            "contains": {"properties": {"pos": {"const": 0}}, "required": ["pos"]},
            "description": "all onsets of every bar: each pos once, and one of them 0",
        },
        "grid": closed(
            "Evenly spaced positions that onsets are drawn to.",
            {
                "unit": {"enum": sorted(GRID_UNITS)},
                "strength": _number(
                    "1 allows nothing between the lines", minimum=0, maximum=1, default=1
                ),
            },
            ["unit"],
        ),
    },
    oneOf=[{"required": ["positions"]}, {"required": ["grid"]}],
)
_REMIX = closed(
    "A variation of what is there; not with rhythm_mask. Needs tracks_per_step 1 or auto.",
    {
        "amount": _number("share of the notes that change", exclusiveMinimum=0, maximum=1),
        "mode": {
            "enum": ["pitch", "full"],
            "default": "pitch",
            "description": "full changes durations too",
        },
    },
    ["amount"],
)

CONTROLS: dict[str, Schema] = {
    "PitchMask": _PITCH_MASK,
    "RhythmMask": _RHYTHM_MASK,
    "Remix": _REMIX,
    "TrackControls": closed(
        "What is asked of a track beyond its attributes.",
        {
            "time_signature": METER,
            "pitch_mask": {"$ref": "#/components/schemas/PitchMask"},
            "rhythm_mask": {"$ref": "#/components/schemas/RhythmMask"},
            "remix": {"$ref": "#/components/schemas/Remix"},
        },
    ),
    "BarControls": closed("What is asked of a bar.", {"time_signature": METER}),
    "PieceControls": closed(
        "What is asked of the whole piece.",
        {
            "velocity": {
                "type": "boolean",
                "description": "write velocities; false needs switchable_velocity",
            },
            "microtiming": {
                "type": "boolean",
                "description": "write microtiming; false needs switchable_microtiming",
            },
            "genre": {"type": "string", "description": "one of genres of /info, or an alias"},
        },
    ),
}
"""By name, for the components of the document."""
