import pytest

from midigpt import midi
from tests.midi_files import meter, notes, off, on, only_track, smf, tempo


class TestTempo:
    def test_the_earliest_of_all_chunks(self):
        data = smf([tempo(100, 1), tempo(0, 2)], [tempo(99, 300_000), tempo(0, 4)])
        assert midi.parse(data).tempo == 300_000

    def test_default(self):
        assert midi.parse(smf([on(0, 60)])).tempo == 500_000

    @pytest.mark.parametrize("event", [b"\0\xff\x51\1\7", b"\0\xff\x51\3\0\0\0"])
    def test_events_that_say_nothing(self, event):
        assert midi.parse(smf([event, tempo(9, 600_000)])).tempo == 600_000


def meters(track):
    return [(bar.ts_numerator, bar.ts_denominator, bar.beat_length) for bar in track.bars]


class TestBars:
    def test_none_after_a_piece_that_ends_on_a_barline(self):
        assert len(only_track(smf([on(0, 60), off(1920, 60)])).bars) == 1

    def test_one_for_a_note_that_rings_over_the_barline(self):
        track = only_track(smf([on(0, 60), off(1921, 60)]))
        assert notes(track) == [(0, 60, 0, 1921)]
        assert len(track.bars) == 2

    def test_meters_of_all_chunks_apply_to_all_tracks(self):
        data = smf([on(0, 60), off(1, 60)], [meter(0, 3, 2), meter(1440, 7, 3), on(0, 61)])
        expected = [(3, 4, 3.0), (7, 8, 3.5)]
        assert [meters(track) for track in midi.parse(data).tracks] == [expected, expected]

    def test_common_time_until_the_first_meter(self):
        track = only_track(smf([meter(1920, 3, 2), on(0, 60)]))
        assert meters(track) == [(4, 4, 4.0), (3, 4, 3.0)]

    def test_the_last_of_two_meters_at_a_tick(self):
        track = only_track(smf([meter(0, 3, 2), meter(0, 5, 3), on(0, 60)]))
        assert meters(track) == [(5, 8, 2.5)]

    def test_a_meter_after_the_last_note_has_a_bar(self):
        track = only_track(smf([on(0, 60), off(9, 60), meter(3831, 3, 2)]))
        assert meters(track) == [(4, 4, 4.0), (4, 4, 4.0), (3, 4, 3.0)]

    def test_a_meter_inside_a_bar_cuts_it_short(self):
        events = [meter(0, 3, 2), on(1999, 65), meter(1, 4, 2), off(900, 65)]
        track = only_track(smf(events))
        assert meters(track) == [(3, 4, 3.0), (3, 4, 560 / 480), (4, 4, 4.0)]
        assert notes(track) == [(1, 65, 559, 901)]

    @pytest.mark.parametrize(
        "event", [meter(0, 0, 2), meter(0, 1, 200), b"\0\xff\x58\1\3"], ids=["0/4", "tiny", "short"]
    )
    def test_impossible_meters_are_ignored(self, event):
        assert meters(only_track(smf([meter(0, 3, 2), event, on(0, 60)]))) == [(3, 4, 3.0)]

    def test_a_bar_that_does_not_divide_into_ticks_is_rounded_down(self):
        track = only_track(smf([meter(0, 5, 3), on(17, 60), off(1, 60)], division=7))
        assert meters(track) == [(5, 8, 17 / 7), (5, 8, 17 / 7)]
        assert notes(track) == [(1, 60, 0, 69)]


def placed(data):
    return [
        (index, note.onset_ticks, note.duration_ticks, note.delta)
        for index, bar in enumerate(only_track(data).bars)
        for note in bar.notes
    ]


class TestTicks:
    def test_half_ticks_round_up_and_leave_a_delta(self):
        data = smf([on(1, 60), on(2, 61), off(2, 60), off(1, 61)], division=960)
        assert placed(data) == [(0, 1, 2, -240), (0, 2, 1, -240)]

    def test_a_note_just_before_a_barline_opens_the_next_bar(self):
        data = smf([on(3839, 60), off(11, 60)], division=960)
        assert placed(data) == [(1, 0, 5, -240)]

    def test_a_note_just_before_the_last_barline_stays_in_its_bar(self):
        data = smf([on(3839, 60), off(1, 60)], division=960)
        assert placed(data) == [(0, 1919, 1, 240)]

    def test_bars_shorter_than_a_tick_of_the_score(self):
        # a bar of one tick, a twentieth of a tick of the score
        tiny = b"\0\xff\x58\4\1\x0f\x18\x08"
        assert placed(smf([tiny, on(0, 60), off(1, 60)], division=9600)) == [(0, 0, 1, 0)]

    def test_division_0_counts_as_480(self):
        assert placed(smf([on(480, 60), off(96, 60)], division=0)) == [(0, 480, 96, 0)]
