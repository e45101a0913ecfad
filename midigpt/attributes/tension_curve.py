"""A track's curve of tension: the trend of its features as a listener follows it.

The model of M. Farbood, "A Parametric, Temporal Model of Musical Tension" (2012): the slopes of a
short window of attention are joined to one curve, and a slope that goes on as the seconds before it
did counts twice.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from midigpt.attributes.tension_features import SAMPLE, Line, drum_features, melodic_features

if TYPE_CHECKING:
    from midigpt.attributes.table import FloatArray, NoteTable

WINDOW = 30
"""Samples of attention, and of the memory before it."""

_HOP = 3
_DELAY = 10
_SHORTEST_MEMORY = 4
_FLAT = 1e-4
_CONSTANT = 1e-12
_STEPS = np.arange(float(WINDOW))


def _slope_weights(length: int) -> FloatArray:
    x = np.arange(float(length)) - (length - 1) / 2
    return x / max(float(x @ x), 0.5)


_SLOPE_WEIGHTS = [_slope_weights(length) for length in range(WINDOW + 1)]


def bar_tension(table: NoteTable, t: int) -> FloatArray:
    """The mean of a track's curve over every bar, shape (bars,).

    A bar has one if the music goes on in the next; the others are 0.0.
    """
    line = Line.of(table, t)
    result = np.zeros(len(line.beats))
    if line.samples == 0:
        return result
    features = drum_features(line) if table.tracks[t].is_drum else melodic_features(line)
    curve = _normal(follow(_mixed(features)), ddof=1)
    curve = np.concatenate([np.full(_DELAY, curve[0]), curve])
    edges = np.ceil(line.bar_starts / SAMPLE).astype(np.int64)
    for bar, (start, stop) in enumerate(pairwise(edges.tolist())):
        if start < stop < line.samples:
            result[bar] = curve[start:stop].mean()
    return result


def follow(feature: FloatArray) -> FloatArray:
    """The curve of a feature; both have shape (samples,), at least one."""
    samples, known = len(feature), 0
    curve: FloatArray = np.zeros(samples)
    for start in range(2 - WINDOW, samples - WINDOW + _HOP, _HOP):
        low, high = max(start, 0), min(start + WINDOW, samples)
        slope = _slope(feature[low:high])
        if low >= _SHORTEST_MEMORY:
            slope = _remembered(slope, _slope(curve[max(low - WINDOW, 0) : low]))
        line: FloatArray = slope * _STEPS[: high - low]
        if start > 0:
            _join(curve, line + curve[low], low, known)
        else:
            curve[:high] = line
        known = high
    return curve


def _remembered(slope: float, memory: float) -> float:
    if abs(slope) <= _FLAT and abs(memory) <= _FLAT:
        return slope - 0.001
    return 2 * slope if slope * memory > 0 else slope


def _join(curve: FloatArray, line: FloatArray, low: int, known: int) -> None:
    """Average a line with what is known of the curve from ``low`` on, and go on with its rest."""
    overlap = known - low
    curve[low:known] = (curve[low:known] + line[:overlap]) / 2
    curve[known : low + len(line)] = line[overlap:] - line[overlap] + curve[known - 1]


def _slope(values: FloatArray) -> float:
    """Rise per sample of the straight line that fits best."""
    return float(_SLOPE_WEIGHTS[len(values)] @ values)


def _mixed(features: list[tuple[float, FloatArray]]) -> FloatArray:
    total = sum(weight for weight, _ in features)
    parts = [weight / total * _normal(values, ddof=0) for weight, values in features]
    mixed: FloatArray = np.sum(parts, axis=0)
    return mixed


def _normal(values: FloatArray, ddof: int) -> FloatArray:
    """The values as standard deviations from their mean; zeros if they are all the same."""
    if len(values) <= ddof or np.ptp(values) < _CONSTANT:
        return np.zeros_like(values)
    normal: FloatArray = (values - values.mean()) / values.std(ddof=ddof)
    return normal
