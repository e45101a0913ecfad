"""What the reference implementation gets wrong in what may be sampled (numbers of its defects)."""

import pytest

from midigpt import Bar
from tests.inference.conftest import ENCODER, random_engine
from tests.inference.scripts import BAR, FILL, NOTE
from tests.inference.sessions import CONTEXT, CONTINUE, WHOLE, asked, song


class TestQ02:
    """A meter asked of a track that keeps its own does nothing but switch the meter keeper off."""

    def test_bars_open_with_the_meter_of_the_piece(self, engine, score, stage):
        scene = stage(asked(engine, score, CONTINUE, CONTEXT), "Bar")
        assert scene.offered == {"TimeSig": [0]}

    @pytest.mark.parametrize(
        "tracks",
        [
            ({}, {"controls": {"time_signature": 1}}),
            ({"controls": {"time_signature": 1}}, {}),
            ({"bar_controls": {"2": {"time_signature": 0}}}, {}),
        ],
        ids=str,
    )
    def test_unless_one_is_asked_for_anywhere(self, engine, score, stage, tracks):
        first, second = tracks
        session = asked(engine, score, CONTINUE | first, {"id": 1, "bars": []} | second)
        offered = stage(session, "Bar").offered
        assert offered["TimeSig"] == [0, 1]
        assert "NoteOnset" in offered


class TestQ06:
    """A fill is as long as its own bar, not as the last bar of the prompt."""

    @pytest.mark.parametrize(("waltz", "filled", "last"), [(1, 1, 35), (3, 1, 47), (3, 3, 35)])
    def test_positions(self, engine, stage, waltz, filled, last):
        score = song("melodic")
        score.tracks[0].bars[waltz] = Bar([], 3, 4)
        offered = stage(asked(engine, score, {"id": 0, "bars": [filled]}), *NOTE).offered
        assert max(offered["TimeAbsolutePos"]) == last


def test_q07_after_a_fill_there_is_only_the_next(engine, stage):
    session = asked(engine, song("melodic"), {"id": 0, "bars": [1, 2]}, bars_per_step=4)
    assert stage(session, *FILL).offered == {"FillInStart": [0]}


class TestQ08:
    """A continuation says each attribute once, of its own kind of track, and stays in its bar."""

    def offered(self, stage, levelled, *words, kind="melodic"):
        return stage(asked(levelled, song(kind), {"id": 0} | WHOLE), *words).offered

    def test_attributes_of_the_kind_of_the_track(self, levelled, stage):
        melodic = self.offered(stage, levelled)
        drums = self.offered(stage, levelled, kind="drum")
        kinds = {"MaxPolyphony", "NoteDensity", "TrackLevelNomml"}
        assert kinds & set(melodic) == {"MaxPolyphony", "TrackLevelNomml"}
        assert kinds & set(drums) == {"NoteDensity", "TrackLevelNomml"}

    def test_each_attribute_of_a_track_once(self, levelled, stage):
        offered = self.offered(stage, levelled, "TrackLevelNomml 4", "MaxPolyphony 3")
        assert not {"MaxPolyphony", "TrackLevelNomml"} & set(offered)
        assert "Bar" in offered

    def test_each_attribute_of_a_bar_once(self, levelled, stage):
        words = ("Bar", "BarLevelOnsetPolyphonyMax 3", "BarLevelPitchClassSet 5")
        assert set(self.offered(stage, levelled, *words)) == {"TimeSig"}

    def test_positions_after_an_attribute_lie_in_the_bar(self, levelled, stage):
        score = song("melodic")
        for bar in score.tracks[0].bars:
            bar.ts_numerator, bar.beat_length = 3, 3.0
        words = ("Bar", "TimeSig 1", "BarLevelPitchClassSet 5")
        offered = stage(asked(levelled, score, {"id": 0} | WHOLE), *words).offered
        assert offered["TimeAbsolutePos"] == list(range(36))


def test_q09_every_attribute_asked_of_a_whole_track_is_kept_to(levelled, stage):
    whole = {"id": 0, "attributes": {"nomml": 5, "max_polyphony": 2}} | WHOLE
    offered = stage(asked(levelled, song("melodic"), whole)).offered
    assert (offered["TrackLevelNomml"], offered["MaxPolyphony"]) == ([5], [2])


def test_q10_a_distribution_of_durations_does_not_set_the_duration_of_every_note(stage):
    engine = random_engine(ENCODER | {"attribute_controls": [{"name": "note_duration_dist"}]})
    whole = {"id": 0, "attributes": {"note_duration_dist": 2}} | WHOLE
    words = ("Bar", "TimeSig 0", "NoteOnset 60")
    offered = stage(asked(engine, song("melodic"), whole), *words).offered
    size = engine.language.tokenizer.vocabulary.domain_size("NoteDuration")
    assert offered == {"NoteDuration": list(range(size))}


class TestQ11:
    """What is asked of a bar of a whole track holds wherever the track stands in the score."""

    @pytest.mark.parametrize("written", [0, 1])
    def test_levels(self, levelled, stage, written):
        asked_of_bar = {"bar_attributes": {"1": {"bar_max_polyphony": 8}}}
        tracks = [{"id": 0, "bars": []}, {"id": 1, "bars": []}]
        tracks[written] |= WHOLE | asked_of_bar
        session = asked(levelled, song("melodic", "melodic"), *tracks)
        free = stage(session, "Bar").offered["BarLevelOnsetPolyphonyMax"]
        assert free == list(range(10))
        assert stage(session, *BAR, "Bar").offered["BarLevelOnsetPolyphonyMax"] == [8]

    def test_in_a_later_window(self, levelled, stage):
        asked_of_bar = {"bar_attributes": {"5": {"bar_max_polyphony": 8}}}
        tracks = [{"id": 0} | WHOLE | asked_of_bar, CONTEXT]
        session = asked(levelled, song("melodic", "melodic", bars=8), *tracks, bars_per_step=2)
        words = [*BAR * 4, "TrackEnd"]
        for before, levels in ((0, range(10)), (1, [8])):
            offered = stage(session, *words, *BAR * before, "Bar").offered
            assert offered["BarLevelOnsetPolyphonyMax"] == list(levels)


class TestQ12:
    """What is asked of a whole track holds for that track only."""

    @pytest.mark.parametrize("second", [{}, {"attributes": {"max_polyphony": 5}}], ids=str)
    def test_levels(self, levelled, stage, second):
        tracks = [{"id": 0, "attributes": {"max_polyphony": 3}} | WHOLE, {"id": 1} | second | WHOLE]
        session = asked(levelled, song("melodic", "melodic", bars=2), *tracks, model_dim=2)
        assert stage(session).offered["MaxPolyphony"] == [3]
        offered = stage(session, *BAR * 2, "TrackEnd").offered
        assert offered["MaxPolyphony"] == ([5] if second else list(range(10)))

    def test_meters(self, engine, stage):
        tracks = [{"id": 0, "controls": {"time_signature": 1}} | WHOLE, {"id": 1} | WHOLE]
        session = asked(engine, song("melodic", "melodic", bars=2), *tracks, model_dim=2)
        assert stage(session, "Bar").offered["TimeSig"] == [1]
        waltz = ("Bar", "TimeSig 1", *NOTE, "BarEnd")
        offered = stage(session, *waltz * 2, "TrackEnd", "Bar").offered
        assert offered["TimeSig"] == [0, 1]


@pytest.mark.parametrize(
    "control", [{"rhythm_mask": {"positions": [{"pos": 0}]}}, {"remix": {"amount": 1}}], ids=str
)
def test_q26_a_forced_rhythm_leaves_microtiming_alone(stage, control):
    """Where no note may follow at once, because the sign of its microtiming has been said."""
    engine = random_engine(ENCODER | {"emit_delta_tokens": True})
    session = asked(engine, song("melodic"), {"id": 0, "bars": [1], "controls": control})
    assert set(stage(session, "DeltaDirection 0").offered) == {"Delta"}
