import numpy as np
import pytest

from midigpt import Bar, Note
from midigpt.inference.forcers import ExactRhythm, Model, Variation, reference

CHORD_AT_0_NOTE_AT_12 = [(0, 2), (12, 1)]


@pytest.fixture
def legal(vocabulary):
    """The types, and of positions and pitches the values, that a rule leaves of everything."""

    def left(rule, *removed):
        mask = np.ones(len(vocabulary), dtype=np.bool_)
        for type_ in removed:
            mask[vocabulary.span(type_)] = False
        rule.restrict(mask)
        found = {}
        for token in np.flatnonzero(mask):
            type_, value = vocabulary.decode(int(token))
            found.setdefault(type_, []).append(value)
        return found

    return left


class TestExactRhythm:
    @pytest.fixture
    def rule(self, vocabulary):
        return ExactRhythm(vocabulary, CHORD_AT_0_NOTE_AT_12)

    def test_the_first_group_comes_first(self, rule, legal):
        left = legal(rule)
        assert "NoteOnset" in left
        assert not {"TimeAbsolutePos", "BarEnd", "FillInEnd"} & left.keys()

    def test_a_full_group_leads_to_the_next_position(self, rule, legal, token):
        rule.advance(token("NoteOnset", 60))
        rule.advance(token("NoteOnset", 64))

        left = legal(rule)

        assert left["TimeAbsolutePos"] == [12]
        assert not {"NoteOnset", "VelocityLevel", "BarEnd", "FillInEnd"} & left.keys()

    def test_after_the_last_group_the_bar_ends(self, rule, legal, token):
        for spelled in [("NoteOnset", 60), ("NoteOnset", 64), ("TimeAbsolutePos", 12)]:
            rule.advance(token(*spelled))
        rule.advance(token("NoteOnset", 67))

        left = legal(rule)

        assert {"BarEnd", "FillInEnd"} <= left.keys()
        assert not {"NoteOnset", "TimeAbsolutePos"} & left.keys()

    def test_a_new_bar_starts_over(self, rule, legal, token):
        rule.advance(token("NoteOnset", 60))
        rule.advance(token("NoteOnset", 64))
        rule.advance(token("FillInEnd"))
        assert "NoteOnset" in legal(rule)

    def test_a_next_position_that_is_not_legal_ends_the_bar(self, rule, legal, token):
        rule.advance(token("NoteOnset", 60))
        rule.advance(token("NoteOnset", 64))

        left = legal(rule, "TimeAbsolutePos")

        assert "BarEnd" in left
        assert "NoteOnset" not in left

    def test_limits_that_allow_no_more_notes_move_it_on(self, rule, legal, token):
        rule.advance(token("NoteOnset", 60))
        assert legal(rule, "NoteOnset")["TimeAbsolutePos"] == [12]

    def test_past_the_schedule_no_note_is_left(self, vocabulary, legal, token):
        rule = ExactRhythm(vocabulary, [(0, 1)])
        rule.advance(token("TimeAbsolutePos", 7))
        assert not {"NoteOnset", "TimeAbsolutePos"} & legal(rule).keys()

    def test_copies_go_their_own_way(self, rule, legal, token):
        twin = rule.copy()
        twin.advance(token("NoteOnset", 60))
        twin.advance(token("NoteOnset", 60))
        assert "NoteOnset" in legal(rule)
        assert "NoteOnset" not in legal(twin)


OPENS_THE_FIRST = 1
"""A seed with which the first of three notes is opened."""

BAR = Bar([Note(67, 80, 6, 3), Note(60, 80, 6, 6), Note(72, 80, 24, 12)])


def test_the_reference_groups_notes_by_onset_from_low_to_high():
    assert reference([BAR, Bar()]) == (
        ((6, (Model(60, 5), Model(67, 2))), (24, (Model(72, 11),))),
        (),
    )


class TestVariation:
    def rule(self, vocabulary, *, drum=False, durations=False, bars=(BAR,), amount=0.01):
        return Variation(
            vocabulary,
            reference(bars),
            amount,
            durations=durations,
            drum=drum,
            seed=OPENS_THE_FIRST,
        )

    def test_it_goes_to_the_first_onset(self, vocabulary, legal):
        left = legal(self.rule(vocabulary))
        assert left["TimeAbsolutePos"] == [6]
        assert not {"NoteOnset", "BarEnd", "FillInEnd"} & left.keys()

    def test_it_waits_until_the_bar_can_begin(self, vocabulary, legal):
        left = legal(self.rule(vocabulary), "TimeAbsolutePos", "NoteOnset")
        assert "BarEnd" in left

    def test_a_first_onset_that_is_not_legal_is_passed_over(self, vocabulary, legal):
        left = legal(self.rule(vocabulary), "TimeAbsolutePos")
        assert "NoteOnset" in left

    def test_an_opened_note_may_have_any_pitch_but_keeps_its_length(self, vocabulary, legal, token):
        rule = self.rule(vocabulary)
        rule.advance(token("TimeAbsolutePos", 6))
        assert len(legal(rule)["NoteOnset"]) == 128
        rule.advance(token("NoteOnset", 99))
        assert legal(rule)["NoteDuration"] == [5]

    def test_in_full_mode_its_length_is_free(self, vocabulary, legal, token):
        rule = self.rule(vocabulary, durations=True)
        rule.advance(token("TimeAbsolutePos", 6))
        rule.advance(token("NoteOnset", 99))
        assert len(legal(rule)["NoteDuration"]) == 96

    def test_the_other_notes_stay(self, vocabulary, legal, token):
        rule = self.rule(vocabulary)
        for spelled in [("TimeAbsolutePos", 6), ("NoteOnset", 99), ("NoteDuration", 5)]:
            rule.advance(token(*spelled))
        assert legal(rule)["NoteOnset"] == [67]
        assert legal(rule)["NoteDuration"] == [2]

    def test_drum_notes_end_with_their_onset(self, vocabulary, legal, token):
        rule = self.rule(vocabulary, drum=True)
        rule.advance(token("TimeAbsolutePos", 6))
        rule.advance(token("NoteOnset", 36))
        assert legal(rule)["NoteOnset"] == [67]

    def test_an_empty_bar_is_free(self, vocabulary, legal):
        left = legal(self.rule(vocabulary, bars=[Bar(), BAR]))
        assert len(left["NoteOnset"]) == 128
        assert len(left["TimeAbsolutePos"]) == 48

    def test_past_the_last_bar_no_note_is_left(self, vocabulary, legal, token):
        rule = self.rule(vocabulary)
        rule.advance(token("FillInEnd"))
        assert not {"NoteOnset", "TimeAbsolutePos"} & legal(rule).keys()


def test_microtiming_is_left_alone_right_after_its_sign(deltas):
    """Only the magnitude may follow there; taking it away would leave nothing (Q-26)."""
    vocabulary, _ = deltas
    after_sign = np.zeros(len(vocabulary), dtype=np.bool_)
    after_sign[vocabulary.span("Delta")] = True
    for rule in (
        ExactRhythm(vocabulary, [(0, 1)]),
        Variation(vocabulary, reference([BAR]), 1.0, durations=False, drum=False, seed=0),
    ):
        rule.advance(vocabulary.encode("DeltaDirection", 0))
        mask = after_sign.copy()
        rule.restrict(mask)
        assert (mask == after_sign).all()


@pytest.fixture
def deltas():
    from midigpt.tokens import EncoderConfig, Tokenizer

    config = EncoderConfig.parse(
        {"resolution": 12, "emit_delta_tokens": True, "time_signatures": ["4/4"]}
    )
    return Tokenizer(config).vocabulary, config
