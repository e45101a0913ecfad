import pytest

from midigpt import Track
from midigpt.attributes.base import one_of
from midigpt.attributes.registry import build
from midigpt.errors import EncoderConfigError
from tests.attributes.music import bar, drums, melody, note, piece

SCORE = piece(melody(bar(note()), bar(note(60), note(64))), drums(bar(note(36))))
CLASSES = build("pitch_class_set", {})


def test_value_of_a_bar():
    assert CLASSES.compute(SCORE, 0, 1) == 2


@pytest.mark.parametrize("missing", [None, -1, 2])
def test_a_missing_bar_is_empty(missing):
    assert CLASSES.compute(SCORE, 0, missing) == 0


def test_values_are_plain_numbers():
    assert type(CLASSES.compute(SCORE, 0, 1)) is int
    assert type(build("silence_proportion", {}).compute(SCORE, 0)) is float


def test_no_such_track():
    with pytest.raises(IndexError):
        CLASSES.compute(SCORE, 2, 0)


def test_quantize():
    assert CLASSES.quantize(7) == 7
    assert CLASSES.quantize(13) == 12


@pytest.mark.parametrize(
    ("track_type", "applies"),
    [("melodic", [True, False]), ("drum", [False, True]), ("both", [True, True])],
)
def test_kinds_of_tracks(track_type, applies):
    attribute = build("pitch_class_set", {"track_type": track_type})

    assert [attribute.applies_to(track) for track in SCORE.tracks] == applies


def test_an_unknown_kind_is_melodic():
    assert CLASSES.applies_to(Track(track_type="strings"))


def test_any_level_may_come_true_by_default():
    assert CLASSES.achievable_range(SCORE, 0, [0]) == (0, 12)


def test_one_of():
    assert one_of("mode", "min", ("min", "max")) == "min"


@pytest.mark.parametrize("wrong", ["avg", None, ["min"], 3])
def test_not_one_of(wrong):
    with pytest.raises(EncoderConfigError, match="mode: must be one of 'min', 'max', not"):
        one_of("mode", wrong, ("min", "max"))
