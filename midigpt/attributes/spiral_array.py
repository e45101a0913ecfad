"""Chew's spiral array: pitches, chords and keys as points in space.

Pitches stand on a helix in the order of fifths. A chord is a weighted mean of its pitches, a key of
its chords: what sounds well together is close together (E. Chew, "Towards a Mathematical Model of
Tonality", 2000).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from midigpt.attributes.table import FloatArray, IntArray

COLUMNS = 4
"""Points in time per beat at which harmony is looked at."""

WINDOW_BEATS = 2

_SILENT = 0.1
_WEIGHTS = np.array([0.536, 0.274, 0.19])
# steps on the line of fifths from the tonic, by semitones above it
_FIFTHS = (0, -5, 2, -3, 4, -1, -6, 1, -4, 3, -2, 5)
_MAJOR_TONICS = (0, 7, 2, 9, 4, 11, 5, 10, 3, 8, 1, 6)
_MINOR_TONICS = (9, 4, 11, 6, 1, 8, 2, 7, 0, 5, 10, 3)


def _pitch(step: int) -> FloatArray:
    angle = [(0, 1), (1, 0), (0, -1), (-1, 0)][step % 4]
    return np.array([*angle, 0.4 * step])


def _major(step: int) -> FloatArray:
    return _WEIGHTS @ [_pitch(step), _pitch(step + 1), _pitch(step + 4)]


def _minor(step: int) -> FloatArray:
    return _WEIGHTS @ [_pitch(step), _pitch(step + 1), _pitch(step - 3)]


def _major_key(step: int) -> FloatArray:
    return _WEIGHTS @ [_major(step), _major(step + 1), _major(step - 1)]


def _minor_key(step: int) -> FloatArray:
    dominant = 0.75 * _major(step + 1) + 0.25 * _minor(step + 1)
    subdominant = 0.75 * _minor(step - 1) + 0.25 * _major(step - 1)
    return _WEIGHTS @ [_minor(step), dominant, subdominant]


_KEYS = np.array([_major_key(0)] * 12 + [_minor_key(3)] * 12)
# the tonic, or that of the relative major, is where the helix starts
_ORIGINS = np.array([*_MAJOR_TONICS, *((tonic + 3) % 12 for tonic in _MINOR_TONICS)])
_PLACES = np.array([_pitch(step) for step in _FIFTHS])[(np.arange(12) - _ORIGINS[:, None]) % 12]
"""Place of every pitch class as seen from every key, shape (24, 12, 3)."""


def harmonic_distance(pitch: IntArray, first: IntArray, last: IntArray, columns: int) -> FloatArray:
    """How far the harmony of every window is from the key of the whole.

    Args:
        pitch: MIDI pitch of every note, shape (notes,).
        first: the first column in which it sounds.
        last: the column in which it no longer sounds.
        columns: the number of columns, four per beat.

    Returns:
        A distance per complete window of two beats; 0 for a silent one.
    """
    notes = _notes(pitch, first, last, columns)
    key = _key(notes.sum(axis=1))
    places = notes.T @ _PLACES[key] / np.maximum(notes.sum(axis=0), 1)[:, None]
    width = WINDOW_BEATS * COLUMNS
    windows = columns // width
    centers = places[: windows * width].reshape(windows, width, 3).mean(axis=1)
    distance = np.linalg.norm(centers - _KEYS[key], axis=1)
    return np.where(np.linalg.norm(centers, axis=1) < _SILENT, 0.0, distance)


def _notes(pitch: IntArray, first: IntArray, last: IntArray, columns: int) -> FloatArray:
    """Sounding pitches of every pitch class in every column, shape (12, columns)."""
    row = pitch - pitch.min() // 12 * 12
    octaves = int(row.max()) // 12 + 1
    change = np.zeros((12 * octaves, columns + 1), np.int32)
    np.add.at(change, (row, first), 1)
    np.add.at(change, (row, last), -1)
    sounding = change.cumsum(axis=1, dtype=np.int32)[:, :-1] > 0
    notes: FloatArray = sounding.reshape(octaves, 12, columns).sum(axis=0, dtype=np.float64)
    return notes


def _key(length: FloatArray) -> int:
    """The key nearest to the mean place of all that sounds, shape (12,) by pitch class."""
    centers = length @ _PLACES / max(length.sum(), 1)
    distance = np.linalg.norm(centers - _KEYS, axis=1)
    # exact ties go to the first key, however they were rounded
    return int(distance.round(9).argmin())
