import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midigpt import Bar, Note, Score, Track, midi
from midigpt.errors import MidiFileError
from tests.midi_files import (
    END,
    chunk,
    header,
    meter,
    notes,
    off,
    on,
    only_track,
    program,
    smf,
    tempo,
    tracks,
)


class TestTracks:
    def test_a_note(self):
        score = midi.parse(smf([on(0, 60), off(480, 60)]))
        assert score == Score([Track([Bar([Note(60, 80, 0, 480)])])])

    def test_one_for_each_channel_and_program_of_a_chunk(self):
        first = [on(0, 60, channel=1), program(0, 7), on(0, 61), program(0, 5), on(0, 62)]
        second = [on(0, 63, channel=1)]
        assert tracks(smf(first, second)) == [
            (5, "melodic", [62]),
            (7, "melodic", [61]),
            (0, "melodic", [60]),
            (0, "melodic", [63]),
        ]

    def test_programs_start_at_0_in_every_chunk(self):
        assert tracks(smf([program(0, 9), on(0, 60)], [on(0, 61)])) == [
            (9, "melodic", [60]),
            (0, "melodic", [61]),
        ]

    def test_the_tenth_channel_is_drums_and_keeps_its_program(self):
        assert tracks(smf([program(0, 8, 9), on(0, 36, channel=9)])) == [(8, "drum", [36])]

    def test_a_note_stays_with_the_program_it_began_on(self):
        data = smf([program(0, 3), on(0, 60), program(10, 4), off(10, 60)])
        assert tracks(data) == [(3, "melodic", [60])]

    def test_notes_that_begin_together_keep_their_order(self):
        events = [on(0, 62), on(0, 60), on(0, 61), off(9, 60), off(0, 62), off(0, 61)]
        assert tracks(smf(events)) == [(0, "melodic", [62, 60, 61])]

    def test_equal_pitches_end_in_the_order_they_began(self):
        events = [on(0, 60), on(100, 60), off(100, 60), off(300, 60)]
        assert notes(only_track(smf(events))) == [(0, 60, 0, 200), (0, 60, 100, 400)]

    def test_velocity_0_ends_a_note(self):
        assert notes(only_track(smf([on(0, 60), on(30, 60, 0)]))) == [(0, 60, 0, 30)]

    def test_a_note_that_ends_where_it_begins_lasts_a_tick(self):
        assert notes(only_track(smf([on(5, 60), off(0, 60)]))) == [(0, 60, 5, 1)]

    def test_an_end_without_a_beginning_is_ignored(self):
        assert notes(only_track(smf([off(0, 60), on(5, 60), off(5, 60)]))) == [(0, 60, 5, 5)]

    def test_notes_never_ended_ring_to_the_end_of_their_chunk(self):
        events = [on(0, 60), on(100, 62), off(100, 62), b"\x50\xb0\x07\x64"]
        assert notes(only_track(smf(events))) == [(0, 60, 0, 280), (0, 62, 100, 100)]

    def test_open_notes_do_not_reach_into_another_chunk(self):
        first, second = midi.parse(smf([on(0, 60)], [off(100, 60), on(0, 61)])).tracks
        assert notes(first) == [(0, 60, 0, 1)]
        assert notes(second) == [(0, 61, 100, 1)]

    def test_none_without_notes(self):
        assert midi.parse(smf([program(0, 5), meter(0, 3, 2)], [])) == Score()


class TestEvents:
    def test_running_status(self):
        assert notes(only_track(smf([on(0, 60), b"\x10\x3c\x00"]))) == [(0, 60, 0, 16)]

    def test_running_status_outlives_meta_events(self):
        events = [on(0, 60), b"\x08\xff\x01\x02hi", b"\x08\x3c\x00"]
        assert notes(only_track(smf(events))) == [(0, 60, 0, 16)]

    @pytest.mark.parametrize("status", [0xF0, 0xF7])
    def test_running_status_ends_at_system_exclusive_events(self, status):
        with pytest.raises(MidiFileError, match="track chunk 0: a data byte"):
            midi.parse(smf([on(0, 60), bytes([0, status, 1, 0xF7]), b"\x10\x3c\x00"]))

    @pytest.mark.parametrize("status", [0xF0, 0xF7])
    def test_system_exclusive_and_escape_events_are_passed_over(self, status):
        events = [on(0, 60), bytes([16, status, 3, 1, 2, 0xF7]), off(16, 60)]
        assert notes(only_track(smf(events))) == [(0, 60, 0, 32)]

    @pytest.mark.parametrize(
        "event", [b"\xf1\1", b"\xf2\1\1", b"\xf3\1", b"\xf6", b"\xf8", b"\xfe"]
    )
    def test_stray_system_messages_are_passed_over(self, event):
        events = [on(0, 60), b"\x10" + event, off(0, 60)]
        assert notes(only_track(smf(events))) == [(0, 60, 0, 16)]

    def test_controllers_are_ignored(self):
        pedal, bend, pressure = b"\0\xb0\x40\x7f", b"\0\xe0\0\0", b"\0\xd0\1"
        events = [pedal, on(0, 60), bend, pressure, b"\0\xa0\x3c\1", off(9, 60)]
        assert notes(only_track(smf(events))) == [(0, 60, 0, 9)]

    def test_odd_key_signatures_and_texts_are_ignored(self):
        events = [b"\0\xff\x59\2\x0b\0", b"\0\xff\3\2\xff\xfe", b"\0\xff\x54\0", on(0, 60)]
        assert notes(only_track(smf(events))) == [(0, 60, 0, 1)]

    def test_nothing_counts_after_the_end_of_track(self):
        data = header() + chunk(on(0, 60), off(9, 60), END, b"\xf4 anything")
        assert notes(only_track(data)) == [(0, 60, 0, 9)]

    def test_a_missing_end_of_track(self):
        data = header() + chunk(on(0, 60), off(9, 60))
        assert notes(only_track(data)) == [(0, 60, 0, 9)]


class TestFile:
    @pytest.mark.parametrize("format_", [0, 1, 2])
    def test_formats(self, format_):
        data = header(format_, 2) + chunk(on(0, 60)) + chunk(on(0, 61))
        assert tracks(data) == [(0, "melodic", [60]), (0, "melodic", [61])]

    def test_chunks_beyond_those_announced_are_not_read(self):
        data = header(chunks=1) + chunk(on(0, 60)) + b"MTrk\xff\xff\xff\xff"
        assert tracks(data) == [(0, "melodic", [60])]

    def test_fewer_chunks_than_announced(self):
        assert tracks(header(chunks=9) + chunk(on(0, 60))) == [(0, "melodic", [60])]

    def test_foreign_chunks_are_passed_over_and_not_counted(self):
        data = header(chunks=1) + chunk(b"\xf4", kind=b"XFIH") + chunk(on(0, 60))
        assert tracks(data) == [(0, "melodic", [60])]

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "does not start with an MThd header"),
            (b"RIFF" + bytes(40), "does not start with an MThd header"),
            (header()[:13], "does not start with an MThd header"),
            (b"MThd\0\0\0\7" + bytes(20), "MThd header of length 6"),
            (header(3), "format is 3; formats 0, 1 and 2"),
            (header(division=0xE728), "SMPTE frames"),
            (header() + b"MTrk\0\0\0\5\0", "past the end of the file of 23 bytes"),
            (header() + b"MTr", "past the end of the file of 17 bytes"),
            (smf([])[:12] + b"\0", "MThd header"),
        ],
    )
    def test_damaged_frames(self, data, message):
        with pytest.raises(MidiFileError, match=message):
            midi.parse(data)

    @pytest.mark.parametrize(
        ("event", "message"),
        [
            (b"\0\x3c\x50", "a data byte stands where a status byte is needed"),
            (b"\0\xf4", "0xF4 means nothing"),
            (on(0, 200), "data byte 200 of a message is above 127"),
            (on(0, 60, 128), "data byte 128"),
            (program(0, 255), "data byte 255"),
            (b"\x81\x80\x80\x80\0" + on(0, 60), "longer than 4 bytes"),
            (b"\0\x90\x3c", "ends inside an event"),
            (b"\0\xff\1\xff\xff\xff\x7f", "ends inside an event"),
            (b"\0\xf0\x05\1", "ends inside an event"),
            (b"\0", "ends inside an event"),
        ],
    )
    def test_damaged_events(self, event, message):
        data = header(chunks=2) + chunk(on(0, 60)) + chunk(event)
        with pytest.raises(MidiFileError, match=f"track chunk 1.*{message}"):
            midi.parse(data)

    def test_a_path_is_named(self, tmp_path):
        path = tmp_path / "song.mid"
        path.write_bytes(b"not music")
        with pytest.raises(MidiFileError, match=r"song\.mid: not a MIDI file"):
            midi.read(path)

    def test_damage_is_told_by_the_error_alone(self, tmp_path, capfd, caplog):
        """The reference prints a warning and parses a second time (S12)."""
        path = tmp_path / "song.mid"
        path.write_bytes(header() + chunk(b"\0"))
        with pytest.raises(MidiFileError):
            midi.read(path)
        assert capfd.readouterr() == ("", "")
        assert caplog.text == ""

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            midi.read(tmp_path / "song.mid")

    def test_more_bars_than_anyone_needs(self):
        far = smf([b"\0\xff\x58\4\1\6\1\1", on(2**28 - 1, 60), b"\xff\xff\xff\x7f\x90\x3d\x40"])
        with pytest.raises(MidiFileError, match=r"1 tracks of \d+ bars: a file may have 262144"):
            midi.parse(far)

    def test_more_bars_than_anyone_needs_over_many_tracks(self):
        data = smf([on(10**8, 60)], *[[on(0, 60)]] * 9)
        with pytest.raises(MidiFileError, match="10 tracks of 52084 bars"):
            midi.parse(data)

    def test_megabytes_of_damage_are_refused_quickly(self):
        began = time.perf_counter()
        for filling in (b"\xff", b"\x90", b"\x00", b"\x80"):
            data = header() + b"MTrk" + (10**7).to_bytes(4, "big") + filling * 10**7
            with pytest.raises(MidiFileError):
                midi.parse(data)
        assert time.perf_counter() - began < 5


@given(st.binary(max_size=200), st.booleans())
@example(b"\0\xff\x58\4\xff\xff", True)
def test_any_bytes_give_a_score_or_a_midi_file_error(data, framed):
    try:
        score = midi.parse(smf([data]) if framed else data)
    except MidiFileError:
        return
    assert score.resolution == 480


SONG = smf(
    [meter(0, 3, 2), tempo(0, 400_000), program(0, 4), on(0, 60), b"\x40\x3c\x00", meter(9, 4, 2)],
    [on(7, 36, channel=9), off(2000, 36, channel=9), b"\0\xf0\2\1\xf7", on(0, 38, channel=9)],
    division=960,
)


@given(st.data())
def test_any_damage_gives_a_score_or_a_midi_file_error(data):
    damaged = bytearray(SONG)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(20, len(damaged))) :]
    try:
        score = midi.parse(bytes(damaged))
    except MidiFileError:
        return
    for track in score.tracks:
        assert all(note.duration_ticks >= 1 for bar in track.bars for note in bar.notes)
