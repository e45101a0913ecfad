import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.attributes import nomml_per_track
from midigpt.attributes.registry import build

NOMML = build("nomml", {})
NAMES = NOMML.value_labels()


def onsets(*ticks, **attributes):
    track = Track([Bar([Note(60, 90, tick, 10) for tick in ticks])], attributes=attributes)
    return Score([track], 480)


@pytest.mark.parametrize(
    ("tick", "name"),
    [
        (480, "quarter"),
        (240, "8th"),
        (120, "16th"),
        (60, "32nd"),
        (30, "64th"),
        (15, "128th"),
        (320, "quarter triplet"),
        (160, "8th triplet"),
        (80, "16th triplet"),
        (40, "32nd triplet"),
        (20, "64th triplet"),
        (10, "128th triplet"),
        (7, "free"),
        (-240, "8th"),
    ],
)
def test_grids(tick, name):
    assert NAMES[NOMML.compute(onsets(tick), 0)] == name


def test_the_median():
    assert NOMML.compute(onsets(0, 480, 7), 0) == 0
    # of an even number the mean of the middle two, without its fraction
    assert NOMML.compute(onsets(0, 240), 0) == 1
    assert NOMML.compute(onsets(240, 320), 0) == 1


def test_a_track_without_notes_is_free():
    assert NOMML.compute(onsets(), 0) == 12


def test_a_value_measured_earlier():
    # on a grid of twelve per quarter the same notes look strict
    original = onsets(7, 11)
    coarse = Score([Track([Bar([Note(60, 90, 0, 1)])])], 12)
    (raw,) = nomml_per_track(original)

    coarse.tracks[0].attributes["_nomml_raw"] = raw

    assert NOMML.compute(coarse, 0) == raw == 12
    assert nomml_per_track(coarse) == [0]


def test_levels():
    assert [NOMML.quantize(value) for value in (-1, 0.5, 1.5, 12, 99)] == [0, 0, 2, 12, 12]
    assert NOMML.dequantize(7) == 7
