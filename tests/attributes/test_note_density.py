import pytest

from midigpt.attributes.note_density import BOUNDS
from midigpt.attributes.registry import build
from tests.attributes.music import bar, drums, melody, note, piece

TRACK = build("note_density_quantile", {})
BAR = build("note_density_quantile", {"level": "bar"})
MEAN = build("note_density", {})


def full(notes):
    return bar(*[note(36, 0, 1)] * notes)


def test_bounds_ascend():
    assert BOUNDS.shape == (129, 10)
    assert (BOUNDS[:, 1:] >= BOUNDS[:, :-1]).all()


def test_drums():
    # the first bounds for drums are 1, 3 and 6 notes per bar or so: a bound belongs to its level
    low, high = map(int, BOUNDS[128, :2])
    score = piece(drums(full(low), full(low + 1), full(high)))

    assert [BAR.compute(score, 0, b) for b in range(3)] == [0, 1, 1]


def test_empty_bars_do_not_count_in_the_average():
    notes = int(BOUNDS[128, 4])
    level = TRACK.compute(piece(drums(full(notes))), 0)

    assert TRACK.compute(piece(drums(full(notes), bar(), bar())), 0) == level > 0


def test_the_average_is_rounded_half_to_even():
    bound = int(BOUNDS[128, 0])
    assert bound % 2 == 0, "the example is one of rounding down"

    assert TRACK.compute(piece(drums(full(bound), full(bound + 1))), 0) == 0


@pytest.mark.parametrize(("instrument", "row"), [(5, 5), (128, 128), (129, 0), (-1, 0)])
def test_rows(instrument, row):
    score = piece(melody(full(7), instrument=instrument))

    assert TRACK.compute(score, 0) == next(n for n in range(10) if BOUNDS[row, n] >= 7)


def test_silence():
    score = piece(drums(bar()), drums())

    assert [TRACK.compute(score, t) for t in (0, 1)] == [0, 0]
    assert BAR.compute(score, 1, 0) == 0


def test_beyond_all_bounds():
    assert TRACK.compute(piece(drums(full(400))), 0) == 9


def test_what_new_bars_can_change():
    score = piece(drums(full(400), full(1)))

    assert TRACK.achievable_range(score, 0, []) == (9, 9)
    assert TRACK.achievable_range(score, 0, [0]) == (TRACK.compute(piece(drums(full(1))), 0), 9)
    assert TRACK.achievable_range(score, 0, [0, 1]) == (0, 9)
    assert TRACK.achievable_range(score, 1, [0]) == (0, 9)
    assert BAR.achievable_range(score, 0, []) == (0, 9)


def test_the_mean():
    score = piece(melody(full(3), bar()), melody())

    assert [MEAN.compute(score, t) for t in (0, 1)] == [1.5, 0]
    assert [MEAN.quantize(value) for value in (1.5, 9.9, 127.5, 300)] == [1, 9, 127, 127]
