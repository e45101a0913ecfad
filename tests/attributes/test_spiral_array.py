import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midigpt.attributes.spiral_array import _key, _notes, harmonic_distance

C_MAJOR = (60, 64, 67)
FAR_AWAY = (61, 66, 70)


def windows(*chords):
    """Distances of chords that last a window each; None is a window of silence."""
    notes = [(p, 8 * w, 8 * w + 8) for w, chord in enumerate(chords) for p in chord or ()]
    pitch, first, last = np.array(notes).T
    return harmonic_distance(pitch, first, last, 8 * len(chords) + 1)


def test_the_tonic_is_closer_than_a_foreign_chord():
    tonic, other, *_ = windows(C_MAJOR, FAR_AWAY, C_MAJOR, (65, 69, 72), (67, 71, 74), C_MAJOR)

    assert tonic < other


def test_silence_has_no_distance():
    assert windows(C_MAJOR, None, C_MAJOR)[1] == 0.0


def test_incomplete_windows_are_left_out():
    assert len(harmonic_distance(np.array([60]), np.array([0]), np.array([20]), 21)) == 2


@given(st.integers(-24, 24))
def test_transposed_music_has_the_same_harmony(semitones):
    chords = [C_MAJOR, (65, 69, 72), (67, 71, 74), (62, 65, 69), C_MAJOR, C_MAJOR]
    moved = [[pitch + semitones for pitch in chord] for chord in chords]

    assert windows(*moved) == pytest.approx(windows(*chords))


def test_notes_of_a_pitch_that_overlap_are_one():
    notes = _notes(np.array([60, 60, 72]), np.array([0, 1, 3]), np.array([2, 4, 5]), 6)

    assert notes[0].tolist() == [1, 1, 1, 2, 1, 0]
    assert notes[1:].sum() == 0


@pytest.mark.parametrize(
    ("pitch_classes", "key"),
    [((0, 4, 7, 0, 5, 9, 0, 7, 11, 2), 0), ((7, 11, 2, 7, 0, 4, 7, 2, 6, 9), 1)],
)
def test_keys_are_in_the_order_of_fifths(pitch_classes, key):
    assert _key(np.bincount(pitch_classes, minlength=12).astype(float)) == key


def test_relative_minor():
    lengths = np.bincount((9, 0, 4, 9, 2, 5, 9, 4, 8, 11, 9, 4), minlength=12)

    assert _key(lengths.astype(float)) == 12


@pytest.mark.parametrize("turn", range(12))
def test_of_two_nearest_keys_the_first(turn):
    # as far from the first key as from the second, in whatever way that is rounded
    lengths = np.bincount([0, 4, 7, 5, 9, 0, 7, 11, 2, 1, 6, 10, 0, 4, 7], minlength=12)
    tonics = [0, 7, 2, 9, 4, 11, 5, 10, 3, 8, 1, 6]
    nearest = [tonics.index(turn), tonics.index((turn + 8) % 12)]

    assert _key(np.roll(lengths, turn).astype(float)) == min(nearest)
