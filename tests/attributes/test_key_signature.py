import pytest

from midigpt.attributes.registry import build
from tests.attributes.music import bar, drums, melody, note, piece

KEY = build("key_signature", {})
NAMES = KEY.value_labels()
MAJOR = (0, 2, 4, 5, 7, 9, 11)
HARMONIC_MINOR = (0, 2, 3, 5, 7, 8, 11)


def scale(tonic, steps):
    """A scale that rests on its tonic, third and fifth."""
    return bar(
        *(note(tonic + step, 0, 24 if n in {0, 2, 4} else 6) for n, step in enumerate(steps))
    )


@pytest.mark.parametrize("tonic", range(12))
def test_scales(tonic):
    major, minor = (piece(melody(scale(60 + tonic, s))) for s in (MAJOR, HARMONIC_MINOR))

    assert KEY.compute(major, 0) == tonic
    assert KEY.compute(minor, 0) == 12 + tonic


def test_names():
    assert NAMES[0] == "C major"
    assert NAMES[13] == "C#/Db minor"
    assert NAMES[24] == "no key"


def test_all_tracks_count_drums_too():
    score = piece(melody(bar()), drums(scale(67, MAJOR)))

    assert NAMES[KEY.compute(score, 0)] == "G major"


@pytest.mark.parametrize("silent", [note(60, 0, 0), note(60, velocity=0)])
def test_no_key(silent):
    assert NAMES[KEY.compute(piece(melody(bar(silent))), 0)] == "no key"


def test_the_first_of_equally_good_keys():
    # a tritone fits every key as well as the key a tritone away
    tritone = bar(note(60), note(66))

    assert KEY.compute(piece(melody(tritone)), 0) % 12 < 6
