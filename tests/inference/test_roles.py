import pytest

from midigpt import Bar, Note, Track
from midigpt.inference.roles import Character, relevance, role


def track(*pitches, onsets=None, **kwargs):
    onsets = onsets or range(0, 480 * len(pitches), 480)
    notes = [Note(pitch, 80, onset, 240) for pitch, onset in zip(pitches, onsets, strict=True)]
    return Track([Bar(notes)], **kwargs)


BASS = track(36, 38, 40, instrument=33)
CHORDS = track(60, 64, 67, onsets=[0, 0, 0], instrument=4)
LEAD = track(72, 74, 76, instrument=73)
KIT = track(36, 42, 38, 42, track_type="drum")


@pytest.mark.parametrize(
    ("music", "expected"),
    [
        (BASS, "bass"),
        (CHORDS, "harmony"),
        (LEAD, "lead"),
        (KIT, "kit"),
        (track(42, 42, 42, 38, track_type="drum"), "hats"),
        (track(60, 61, 62, track_type="drum"), "perc"),
        (Track([Bar()]), "other"),
        (Track([Bar()], track_type="drum"), "other"),
        (Track([]), "other"),
    ],
)
def test_roles(music, expected):
    assert role(music, 480) == expected


def test_onsets_within_a_sixteenth_are_one_chord():
    assert role(track(60, 64, onsets=[0, 20]), 480) == "harmony"
    assert role(track(60, 64, onsets=[0, 120]), 480) == "lead"


def worth(context, target):
    return relevance(Character.of(context, 480), Character.of(target, 480))


def test_a_bass_needs_its_drums_most():
    assert [worth(other, BASS) for other in (KIT, CHORDS, LEAD)] == [0.95, 0.8, 0.5]


def test_instruments_of_one_family_matter_more():
    assert worth(LEAD, track(60, 62, instrument=74)) == pytest.approx(0.7)
    assert worth(KIT, KIT) == pytest.approx(1.0)
