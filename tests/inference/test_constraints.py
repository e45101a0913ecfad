import numpy as np
import pytest

from midigpt.errors import EncodingError
from midigpt.inference.constraints import (
    BarValueConstraint,
    DensityCap,
    PolyphonyCap,
    ValueConstraint,
)


@pytest.fixture
def left(vocabulary):
    """What a constraint leaves after tokens: the types it has taken something from."""

    def left(constraint, *tokens):
        for token in tokens:
            constraint.advance(token)
        mask = np.ones(len(vocabulary), dtype=np.bool_)
        constraint.restrict(mask)
        return {type_ for type_, kept in zip(vocabulary.types, mask, strict=True) if not kept}

    return left


NOTE = {"NoteOnset", "VelocityLevel"}


def test_a_bar_has_only_so_many_notes(vocabulary, token, left):
    cap = DensityCap(vocabulary, 2)
    note, position = token("NoteOnset", 60), token("TimeAbsolutePos", 3)

    assert left(cap, token("Bar"), note, position) == set()
    assert left(cap, note) == NOTE | {"TimeAbsolutePos"}
    assert left(cap, position) == NOTE | {"TimeAbsolutePos"}


@pytest.mark.parametrize("start", ["Bar", "BarEnd", "FillInStart", "FillInEnd"])
@pytest.mark.parametrize("kind", [DensityCap, PolyphonyCap])
def test_every_bar_and_fill_is_counted_for_itself(kind, start, vocabulary, token, left):
    assert left(kind(vocabulary, 1), token("NoteOnset", 60), token(start)) == set()


def test_a_position_has_only_so_many_notes(vocabulary, token, left):
    cap = PolyphonyCap(vocabulary, 2)

    assert left(cap, token("NoteOnset", 60), token("NoteOnset", 64)) == NOTE
    assert left(cap, token("NoteDuration", 3)) == NOTE
    assert left(cap, token("TimeAbsolutePos", 3)) == set()


def test_constraints_only_take_away(vocabulary, token):
    mask = np.zeros(len(vocabulary), dtype=np.bool_)
    mask[token("NoteOnset", 60)] = True
    for constraint in (
        DensityCap(vocabulary, 1),
        ValueConstraint(vocabulary, "TimeSig", 1),
        ValueConstraint(vocabulary, "NoteOnset", 60),
    ):
        constraint.restrict(mask)
    assert np.flatnonzero(mask).tolist() == [token("NoteOnset", 60)]


def test_a_type_has_only_one_value(vocabulary, token):
    mask = np.ones(len(vocabulary), dtype=np.bool_)
    constraint = ValueConstraint(vocabulary, "TimeSig", 1)
    constraint.advance(token("Bar"))

    constraint.restrict(mask)

    assert np.flatnonzero(~mask).tolist() == [token("TimeSig", 0)]


def test_a_value_that_does_not_exist_is_refused(vocabulary):
    with pytest.raises(EncodingError, match="TimeSig:2 is no token"):
        ValueConstraint(vocabulary, "TimeSig", 2)


def test_a_value_in_one_bar_of_one_track(vocabulary, token, left):
    meter = BarValueConstraint(vocabulary, "TimeSig", 1, track=1, bar=1)
    track, bar = token("Track"), token("Bar")

    assert left(meter, track, bar, bar) == set()
    assert left(meter, track) == set()
    assert left(meter, bar) == set()
    assert left(meter, bar) == {"TimeSig"}
    assert left(meter, token("TimeSig", 1)) == {"TimeSig"}
    assert left(meter, bar) == set()


def test_a_bar_before_the_window_is_never_met(vocabulary, token, left):
    meter = BarValueConstraint(vocabulary, "TimeSig", 1, track=0, bar=-1)
    assert left(meter, token("Track")) == set()
    assert left(meter, token("Bar")) == set()


def test_copies_count_for_themselves(vocabulary, token, left):
    for constraint, taken in (
        (DensityCap(vocabulary, 1), NOTE | {"TimeAbsolutePos"}),
        (PolyphonyCap(vocabulary, 1), NOTE),
    ):
        twin = constraint.copy()
        assert left(constraint, token("NoteOnset", 60)) == taken
        assert left(twin) == set()

    meter = BarValueConstraint(vocabulary, "TimeSig", 1, track=0, bar=0)
    meter.advance(token("Track"))
    twin = meter.copy()
    assert left(meter, token("Bar")) == {"TimeSig"}
    assert left(twin) == set()


def test_a_copy_of_what_remembers_nothing(vocabulary, left):
    assert left(ValueConstraint(vocabulary, "TimeSig", 1).copy()) == {"TimeSig"}
