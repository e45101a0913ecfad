"""What a request adds to the grammar, as it shows in what a session may sample."""

from functools import partial

import pytest

from midigpt import Bar, Note, Score, Track
from tests.inference.conftest import ENCODER, random_engine
from tests.inference.scripts import NOTE, play
from tests.inference.sessions import asked

FILL = {"id": 0, "bars": [1]}


@pytest.fixture
def stage(monkeypatch):
    """What a session offers when it has sampled the given words."""
    return partial(play, monkeypatch)


def song():
    """Four bars of a quarter note on every beat."""
    notes = [Note(60, 80, 480 * beat, 480) for beat in range(4)]
    return Score([Track([Bar(list(notes)) for _ in range(4)])])


def controlled(engine, stage, controls, *words, **settings):
    return stage(asked(engine, song(), FILL | {"controls": controls}, **settings), *words).offered


class TestNotes:
    def test_only_so_many_in_a_bar(self, engine, stage):
        offered = controlled(engine, stage, {}, *NOTE, *NOTE, density_hard_limit=2)
        assert set(offered) == {"FillInEnd"}

    def test_only_so_many_at_a_time(self, engine, stage):
        offered = controlled(engine, stage, {}, *NOTE, *NOTE, polyphony_hard_limit=2)
        assert set(offered) == {"TimeAbsolutePos", "FillInEnd"}

    def test_the_prompt_does_not_count(self, engine, stage):
        """Its bars have four notes, and a fill is a new one."""
        offered = controlled(engine, stage, {}, density_hard_limit=1, polyphony_hard_limit=1)
        assert "NoteOnset" in offered


class TestPitches:
    """They count from the lowest that the encoder has."""

    @pytest.fixture
    def engine(self):
        return random_engine(ENCODER | {"pitch_range": [36, 83]})

    def test_a_mask(self, engine, stage):
        offered = controlled(engine, stage, {"pitch_mask": {"pitches": [35, 60, 84]}})
        assert offered["NoteOnset"] == [60 - 36]

    def test_a_shape(self, engine, stage):
        shape = {"type": "uniform", "min": 60, "max": 62}
        offered = controlled(engine, stage, {"pitch_mask": {"shape": shape}})
        assert offered["NoteOnset"] == [60 - 36, 61 - 36, 62 - 36]

    def test_a_remix(self, engine):
        session = asked(engine, song(), FILL | {"controls": {"remix": {"amount": 0.01}}})
        pitches = [note.pitch for note in session.run().tracks[0].bars[1].notes]
        assert len(pitches) == 4
        assert pitches.count(60) == 3


class TestRhythm:
    def test_a_strict_grid(self, engine, stage):
        grid = {"rhythm_mask": {"grid": {"unit": "quarter"}}}
        assert controlled(engine, stage, grid)["TimeAbsolutePos"] == [0, 12, 24, 36]

    def test_a_loose_grid(self, engine, stage):
        grid = {"rhythm_mask": {"grid": {"unit": "quarter", "strength": 0.5}}}
        assert controlled(engine, stage, grid)["TimeAbsolutePos"] == list(range(48))

    def test_given_positions(self, engine, stage):
        positions = {"rhythm_mask": {"positions": [{"pos": 0}, {"pos": 7, "polyphony": 2}]}}
        offered = partial(controlled, engine, stage, positions)
        assert "TimeAbsolutePos" not in offered()
        assert offered(*NOTE) == {"TimeAbsolutePos": [7]}
        assert "FillInEnd" not in offered(*NOTE, "TimeAbsolutePos 7", *NOTE)
        assert offered(*NOTE, "TimeAbsolutePos 7", *NOTE, *NOTE) == {"FillInEnd": [0]}

    def test_a_remix_keeps_the_rhythm(self, engine, stage):
        offered = partial(controlled, engine, stage, {"remix": {"amount": 1}})
        assert "TimeAbsolutePos" not in offered()
        # and the length of the notes, a quarter
        assert offered("NoteOnset 50") == {"NoteDuration": [11]}
        assert offered("NoteOnset 50", "NoteDuration 11") == {"TimeAbsolutePos": [12]}

    def test_a_full_remix_opens_the_length_too(self, engine, stage):
        offered = controlled(engine, stage, {"remix": {"amount": 1, "mode": "full"}}, "NoteOnset 5")
        assert len(offered["NoteDuration"]) > 1


class TestSwitches:
    @pytest.fixture
    def engine(self):
        return random_engine(
            ENCODER | {"switchable_velocity": True, "switchable_microtiming": True}
        )

    @pytest.mark.parametrize(
        ("controls", "words"),
        [
            ({}, {"VelocityLevel", "Delta", "DeltaDirection"}),
            ({"velocity": False}, {"Delta", "DeltaDirection"}),
            ({"microtiming": False}, {"VelocityLevel"}),
        ],
        ids=str,
    )
    def test_what_is_switched_off_is_not_sampled(self, engine, stage, controls, words):
        offered = stage(asked(engine, song(), FILL, controls=controls)).offered
        assert {"VelocityLevel", "Delta", "DeltaDirection"} & set(offered) == words
