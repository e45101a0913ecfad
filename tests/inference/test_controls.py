import math
import re
from fractions import Fraction

import pytest

from midigpt.errors import RequestValidationError
from midigpt.inference.controls import GRID_UNITS, SCALES, Grid, PitchMask, Remix, RhythmMask
from midigpt.inference.reading import Place

C_MAJOR = {0, 2, 4, 5, 7, 9, 11}


def classes(mask):
    return {pitch % 12 for pitch in PitchMask.parse(mask).allowed}


def weights(**shape):
    return PitchMask.parse({"shape": shape}).weights


def test_an_empty_pitch_mask_does_nothing():
    assert PitchMask.parse({}) == PitchMask.parse({"root": 3}) == PitchMask(None, None)


def test_pitches():
    assert PitchMask.parse({"pitches": [60, 62.0, 60]}).allowed == {60, 62}


def test_a_scale_in_all_octaves():
    c_major = PitchMask.parse({"scale": "major"}).allowed
    assert {pitch for pitch in c_major if pitch < 24} == C_MAJOR | {12 + c for c in C_MAJOR}
    assert max(c_major) == 127


def test_the_root_of_a_scale_counts_modulo_12():
    d_major = {(semitone + 2) % 12 for semitone in C_MAJOR}
    assert classes({"scale": "major", "root": 2}) == d_major
    assert classes({"scale": "major", "root": 14}) == d_major
    assert classes({"scale": "major", "root": -10}) == d_major


def test_pitch_classes_count_modulo_12():
    assert classes({"pitch_classes": [0, 13, -1]}) == {0, 1, 11}


def test_pitches_win_over_a_scale():
    assert PitchMask.parse({"pitches": [61], "scale": "major"}).allowed == {61}


def test_scales():
    assert {name: len(SCALES[name]) for name in SCALES} == {
        "chromatic": 12,
        "major": 7,
        "natural_minor": 7,
        "harmonic_minor": 7,
        "melodic_minor": 7,
        "dorian": 7,
        "phrygian": 7,
        "lydian": 7,
        "mixolydian": 7,
        "locrian": 7,
        "major_pentatonic": 5,
        "minor_pentatonic": 5,
        "blues": 6,
        "whole_tone": 6,
    }
    assert classes({"scale": "harmonic_minor", "root": 9}) == {9, 11, 0, 2, 4, 5, 8}
    assert classes({"scale": "blues"}) == {0, 3, 5, 6, 7, 10}


def test_a_uniform_shape_is_1_inside_its_range():
    assert weights(type="uniform") == (1.0,) * 128
    inside = weights(type="uniform", min=60, max=62)
    assert [pitch for pitch in range(128) if inside[pitch]] == [60, 61, 62]


def test_a_normal_shape_is_a_bell():
    bell = weights(type="normal", mean=62, std=4)
    assert len(bell) == 128
    assert bell[62] == 1
    assert bell[58] == bell[66] == math.exp(-0.5)
    assert weights(type="normal") == weights(type="normal", mean=60, std=12)


def test_a_narrow_normal_shape_leaves_its_mean():
    needle = weights(type="normal", std=1e-9)
    assert [pitch for pitch in range(128) if needle[pitch]] == [60]


def test_the_size_of_numbers_in_a_shape_does_not_matter():
    assert weights(type="normal", mean=60, std=1e308) == (1.0,) * 128
    assert weights(type="uniform", min=-1e308, max=1e308) == (1.0,) * 128
    with pytest.raises(RequestValidationError, match="leaves no pitch"):
        weights(type="normal", mean=1e308, std=1e-308)


def test_what_a_pitch_mask_leaves():
    low = PitchMask.parse({"pitches": [20, 30]})
    assert low.leaves(range(25))
    assert not low.leaves(range(21, 30))
    assert not PitchMask.parse({"shape": {"type": "uniform", "max": 30}}).leaves(range(31, 128))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([60], "pitch_mask is [60]; it must be an object"),
        (None, "pitch_mask is null"),
        ({"bad": 1}, 'pitch_mask has no member "bad"; it may have pitch_classes, pitches, root'),
        ({"pitches": [128]}, "pitch_mask.pitches[0] is 128; it must be in 0..127"),
        ({"pitches": [0, -1]}, "pitch_mask.pitches[1] is -1"),
        ({"pitches": ["C4"]}, 'pitch_mask.pitches[0] is "C4"; it must be an integer'),
        ({"pitches": [True]}, "pitch_mask.pitches[0] is true"),
        ({"pitches": "abc"}, 'pitch_mask.pitches is "abc"; it must be a list of integers'),
        ({"pitches": 60}, "pitch_mask.pitches is 60; it must be a list of integers"),
        ({"pitches": []}, 'pitch_mask is {"pitches": []}, which leaves no pitch to play'),
        ({"pitch_classes": []}, 'pitch_mask is {"pitch_classes": []}, which leaves no pitch'),
        ({"pitch_classes": None}, "pitch_mask.pitch_classes is null"),
        ({"scale": "major", "pitch_classes": [0]}, "pitch_mask may have scale or pitch_classes"),
        ({"scale": "nope"}, 'pitch_mask.scale is "nope"; it must be one of blues, chromatic'),
        ({"scale": []}, "pitch_mask.scale is []; it must be one of"),
        ({"scale": "major", "root": "C"}, 'pitch_mask.root is "C"; it must be an integer'),
        ({"shape": 3}, "pitch_mask.shape is 3; it must be an object"),
        ({"shape": {}}, "pitch_mask.shape.type is null; it must be one of normal, uniform"),
        ({"shape": {"type": "x"}}, 'pitch_mask.shape.type is "x"'),
        ({"shape": {"type": []}}, "pitch_mask.shape.type is []"),
        ({"shape": {"type": "normal", "low": 1}}, 'pitch_mask.shape has no member "low"'),
        (
            {"shape": {"type": "uniform", "min": 9, "max": 3}},
            "pitch_mask.shape.min is 9.0; it must be at most max, 3.0",
        ),
        ({"shape": {"type": "uniform", "min": "9"}}, 'pitch_mask.shape.min is "9"'),
        ({"shape": {"type": "normal", "std": -3}}, "pitch_mask.shape.std is -3.0"),
        ({"shape": {"type": "normal", "std": 0}}, "pitch_mask.shape.std is 0.0"),
        ({"shape": {"type": "normal", "mean": None}}, "pitch_mask.shape.mean is null"),
        (
            {"pitches": [60], "shape": {"type": "uniform", "min": 70}},
            'pitch_mask is {"pitches": [60], "shape": {"min": 70, "type": "uniform"}}, which',
        ),
    ],
)
def test_what_is_no_pitch_mask(mask, message):
    with pytest.raises(RequestValidationError, match=f"^{re.escape(message)}"):
        PitchMask.parse(mask)


def test_positions_are_sorted_and_hold_one_note_unless_told():
    mask = RhythmMask.parse({"positions": [{"pos": 24, "polyphony": 3}, {"pos": 0}]})
    assert mask == RhythmMask(positions=((0, 1), (24, 3)))


def test_a_grid():
    assert RhythmMask.parse({"grid": {"unit": "eighth", "strength": 0.8}}) == RhythmMask(
        grid=Grid(Fraction(1, 2), 0.8)
    )
    assert RhythmMask.parse({"grid": {"unit": "whole"}}).grid == Grid(Fraction(4), 1.0)


def test_grid_steps_at_12_ticks_per_quarter():
    assert {name: Grid(unit).ticks(12) for name, unit in GRID_UNITS.items()} == {
        "whole": 48,
        "half": 24,
        "quarter": 12,
        "eighth": 6,
        "sixteenth": 3,
        "quarter_triplet": 4,
        "eighth_triplet": 2,
        "sixteenth_triplet": 1,
    }


def test_grid_steps_between_ticks_are_rounded_half_to_even():
    sixteenth = Grid(Fraction(1, 4))
    assert [sixteenth.ticks(resolution) for resolution in (1, 6, 10, 14)] == [1, 2, 2, 4]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (5, "rhythm_mask is 5; it must be an object"),
        ({}, "rhythm_mask must have either positions or grid"),
        ({"positions": [{"pos": 0}], "grid": {"unit": "half"}}, "rhythm_mask must have either"),
        ({"bad": 1}, 'rhythm_mask has no member "bad"; it may have grid, positions'),
        ({"positions": []}, "rhythm_mask.positions is []; it must be a list of objects with pos"),
        ({"positions": None}, "rhythm_mask.positions is null"),
        ({"positions": {"pos": 0}}, 'rhythm_mask.positions is {"pos": 0}'),
        ({"positions": [0]}, "rhythm_mask.positions[0] is 0; it must be an object"),
        ({"positions": [{}]}, "rhythm_mask.positions[0].pos is null; it must be an integer"),
        ({"positions": [{"pos": "x"}]}, 'rhythm_mask.positions[0].pos is "x"'),
        ({"positions": [{"pos": -1}]}, "rhythm_mask.positions[0].pos is -1; it must be at least 0"),
        ({"positions": [{"pos": 0, "x": 1}]}, 'rhythm_mask.positions[0] has no member "x"'),
        (
            {"positions": [{"pos": 0}, {"pos": 0}]},
            "rhythm_mask.positions[1].pos is 0; it must be given only once",
        ),
        ({"positions": [{"pos": 12}]}, "rhythm_mask.positions has no pos 0"),
        (
            {"positions": [{"pos": 0, "polyphony": 0}]},
            "rhythm_mask.positions[0].polyphony is 0; it must be in 1..128",
        ),
        (
            {"positions": [{"pos": 0, "polyphony": 129}]},
            "rhythm_mask.positions[0].polyphony is 129",
        ),
        ({"grid": 4}, "rhythm_mask.grid is 4; it must be an object"),
        ({"grid": {}}, "rhythm_mask.grid.unit is null; it must be one of eighth, eighth_triplet"),
        ({"grid": {"unit": "fifth"}}, 'rhythm_mask.grid.unit is "fifth"'),
        ({"grid": {"unit": []}}, "rhythm_mask.grid.unit is []"),
        ({"grid": {"unit": "half", "swing": 1}}, 'rhythm_mask.grid has no member "swing"'),
        ({"grid": {"unit": "half", "strength": 2}}, "rhythm_mask.grid.strength is 2.0"),
        ({"grid": {"unit": "half", "strength": "x"}}, 'rhythm_mask.grid.strength is "x"'),
    ],
)
def test_what_is_no_rhythm_mask(mask, message):
    with pytest.raises(RequestValidationError, match=f"^{re.escape(message)}"):
        RhythmMask.parse(mask)


def test_remix():
    assert Remix.parse({"amount": 1}) == Remix(1.0, "pitch")
    assert Remix.parse({"amount": 0.25, "mode": "full"}) == Remix(0.25, "full")


@pytest.mark.parametrize(
    ("remix", "message"),
    [
        (0.5, "remix is 0.5; it must be an object"),
        ({}, "remix has no amount; it must be above 0 and at most 1"),
        ({"amount": 0}, "remix.amount is 0.0; it must be above 0 and at most 1"),
        ({"amount": 1.1}, "remix.amount is 1.1"),
        ({"amount": "much"}, 'remix.amount is "much"; it must be a finite number'),
        ({"amount": True}, "remix.amount is true"),
        ({"amount": 0.5, "bad": 1}, 'remix has no member "bad"; it may have amount, mode'),
        ({"amount": 0.5, "mode": "x"}, 'remix.mode is "x"; it must be one of pitch, full'),
        ({"amount": 0.5, "mode": []}, "remix.mode is []"),
    ],
)
def test_what_is_no_remix(remix, message):
    with pytest.raises(RequestValidationError, match=f"^{re.escape(message)}"):
        Remix.parse(remix)


def test_messages_name_the_place_they_are_told():
    place = Place("tracks[0]", track=3).at("controls").at("remix")
    with pytest.raises(RequestValidationError) as caught:
        Remix.parse({"amount": 0}, place)
    assert str(caught.value).startswith("tracks[0].controls.remix.amount (track_id=3) is 0.0")
