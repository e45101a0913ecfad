import io
import math
import time

import mido
import pytest
import symusic
from hypothesis import given
from hypothesis import strategies as st

from midigpt import Bar, Note, Score, Track, midi
from midigpt.errors import MidiFileError


def mido_events(score):
    """Every message of the written file by chunk, with absolute ticks, as mido reads it."""
    song = mido.MidiFile(file=io.BytesIO(midi.serialize(score)))
    chunks = []
    for track in song.tracks:
        now = 0
        chunks.append([])
        for message in track:
            now += message.time
            chunks[-1].append((now, message))
    return song, chunks


def written_notes(score):
    """(tick, kind, pitch) of the first chunk's notes."""
    _, chunks = mido_events(score)
    return [(now, m.type[5:], m.note) for now, m in chunks[0] if m.type.startswith("note")]


def one_bar(*notes, **bar):
    return Score([Track([Bar(list(notes), **bar)])])


class TestWriting:
    def test_what_mido_reads(self):
        score = Score(
            [
                Track([Bar([Note(60, 70, 5, 10)]), Bar([Note(62, 80, 0, 20)], 3, 4)], 30),
                Track([Bar([Note(36, 90, 1, 2)])], 8, "drum"),
            ],
            resolution=96,
            tempo=600_000,
        )
        song, chunks = mido_events(score)
        assert (song.type, song.ticks_per_beat) == (1, 96)
        assert [(now, message.hex()) for now, message in chunks[0]] == [
            (0, "FF 58 04 04 02 18 08"),
            (0, "FF 51 03 09 27 C0"),
            (0, "C0 1E"),
            (5, "90 3C 46"),
            (15, "80 3C 46"),
            (384, "FF 58 04 03 02 18 08"),
            (384, "90 3E 50"),
            (404, "80 3E 50"),
            (405, "FF 2F 00"),
        ]
        assert [(now, message.hex()) for now, message in chunks[1]] == [
            (0, "C9 08"),
            (1, "99 24 5A"),
            (3, "89 24 5A"),
            (4, "FF 2F 00"),
        ]

    def test_a_score_without_tracks_is_one_chunk_with_the_tempo(self):
        _, (events,) = mido_events(Score(tempo=250_000))
        assert [message.type for _, message in events] == ["set_tempo", "end_of_track"]
        assert events[0][1].tempo == 250_000

    def test_channels(self):
        kinds = ["melodic"] * 9 + ["drum"] + ["melodic"] * 8
        score = Score([Track([Bar([Note(60, 80, 0, 1)])], track_type=kind) for kind in kinds])
        _, chunks = mido_events(score)
        channels = [events[-2][1].channel for events in chunks]
        # all tracks count: the drum track takes number 9, the melodic one after it 10
        assert channels == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 0, 1, 2]

    def test_the_longest_track_gives_the_barlines(self):
        short = Track([Bar(), Bar([Note(60, 80, 0, 9)])])
        long = Track([Bar(ts_numerator=3), Bar(), Bar()])
        assert written_notes(Score([short, long]))[0] == (1440, "on", 60)

    def test_six_eight_bars_from_a_dictionary_are_three_quarters_long(self):
        bars = [{"ts_numerator": 6, "ts_denominator": 8}] * 2
        bars[1] = bars[1] | {"notes": [Note(60, 80, 0, 9)]}
        score = Score.from_dict({"tracks": [{"bars": [bars[0]]}]})
        score.tracks[0].bars.append(Bar(bars[1]["notes"], 6, 8))
        assert written_notes(score)[0] == (1440, "on", 60)

    def test_a_bar_cut_short_is_followed_by_a_meter_event(self):
        bars = [Bar(ts_numerator=3, beat_length=2.0), Bar([Note(60, 80, 0, 9)], 3)]
        score = Score([Track(bars)])
        _, (events,) = mido_events(score)
        assert [now for now, m in events if m.type == "time_signature"] == [0, 960]
        assert midi.parse(midi.serialize(score)) == score

    def test_a_repeated_pitch_ends_the_earlier_note(self):
        score = one_bar(Note(60, 80, 0, 1000), Note(60, 70, 100, 100), Note(62, 9, 50, 900))
        assert written_notes(score) == [
            (0, "on", 60),
            (50, "on", 62),
            (100, "off", 60),
            (100, "on", 60),
            (200, "off", 60),
            (950, "off", 62),
        ]
        (track,) = midi.parse(midi.serialize(score)).tracks
        assert [(n.velocity, n.duration_ticks) for n in track.bars[0].notes] == [
            (80, 100),
            (9, 900),
            (70, 100),
        ]

    def test_equal_pitches_that_begin_together_keep_their_lengths(self):
        long, other, short = Note(60, 80, 0, 900), Note(64, 60, 0, 500), Note(60, 70, 0, 100)
        again = midi.parse(midi.serialize(one_bar(long, other, short)))
        assert again == one_bar(short, long, other)

    def test_a_pitch_struck_again_at_its_end(self):
        score = one_bar(Note(60, 80, 0, 100), Note(60, 70, 100, 100))
        assert midi.parse(midi.serialize(score)) == score

    def test_onsets_before_the_piece_start_with_it(self):
        score = one_bar(Note(60, 80, -5, 30), Note(61, 80, -50, 60), Note(62, 80, -50, 30))
        assert sorted(written_notes(score)) == [
            (0, "off", 62),
            (0, "on", 60),
            (0, "on", 61),
            (0, "on", 62),
            (10, "off", 61),
            (25, "off", 60),
        ]

    def test_onsets_before_their_bar_sound_in_the_bar_before(self):
        score = Score([Track([Bar(), Bar([Note(60, 80, -5, 30)])])])
        assert written_notes(score) == [(1915, "on", 60), (1945, "off", 60)]

    def test_negative_durations_count_as_none(self):
        assert written_notes(one_bar(Note(60, 80, 9, -5))) == [(9, "on", 60), (9, "off", 60)]

    def test_silent_notes_are_left_out(self):
        # a note-on of velocity 0 would end the other note
        assert written_notes(one_bar(Note(60, 80, 0, 30), Note(60, 0, 10, 5))) == [
            (0, "on", 60),
            (30, "off", 60),
        ]

    def test_hidden_bars_are_written(self):
        assert len(written_notes(one_bar(Note(60, 80, 0, 30), future=True))) == 2

    def test_the_score_stays_as_it_is(self):
        score = one_bar(Note(60, 80, 0, 900), Note(60, 80, -10, 900))
        before = Score.from_dict(score.to_dict())
        midi.serialize(score)
        assert score == before

    @pytest.mark.parametrize(
        ("score", "message"),
        [
            (Score(resolution=0), "resolution is 0; a MIDI file can hold 1 to 32767"),
            (Score(resolution=40_000), "resolution is 40000"),
            (Score(tempo=0), "tempo is 0; a MIDI file can hold 1 to 16777215"),
            (Score([Track(instrument=200)]), r"tracks\[0\].instrument is 200"),
            (one_bar(Note(130, 80, 0, 1)), r"pitch of a note in tracks\[0\]\.bars\[0\] is 130"),
            (one_bar(Note(60, -1, 0, 1)), "velocity of a note .* is -1"),
            (one_bar(Note(60, 80, 2**31, 1)), "the end of a note .* is 2147483649"),
            (one_bar(ts_numerator=300), "ts_numerator of bar 0 is 300"),
            (one_bar(ts_denominator=0), "ts_denominator of bar 0 is 0"),
            (one_bar(ts_denominator=6), "ts_denominator of bar 0 is 6; .* powers of two"),
            (one_bar(beat_length=-1.0), "beat_length of bar 0 is -1.0"),
            (one_bar(beat_length=math.inf), "beat_length of bar 0 is inf"),
            (one_bar(beat_length=2**27), "the end of the last bar"),
        ],
    )
    def test_what_no_file_can_hold(self, score, message):
        with pytest.raises(MidiFileError, match=message):
            midi.serialize(score)

    @pytest.mark.parametrize("note", [Note("x", 80, 0, 1), Note(60, 80, 1.5, 1)])
    def test_values_of_the_wrong_type(self, note):
        with pytest.raises(TypeError):
            midi.serialize(one_bar(note))

    def test_to_a_path(self, tmp_path):
        midi.write(one_bar(Note(60, 80, 0, 1)), tmp_path / "song.mid")
        assert (tmp_path / "song.mid").read_bytes() == midi.serialize(one_bar(Note(60, 80, 0, 1)))

    def test_to_a_missing_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            midi.write(Score(), tmp_path / "missing" / "song.mid")

    def test_nothing_is_left_behind_by_a_score_no_file_can_hold(self, tmp_path):
        with pytest.raises(MidiFileError):
            midi.write(Score(resolution=0), tmp_path / "song.mid")
        assert list(tmp_path.iterdir()) == []


METERS = [(4, 4), (3, 4), (6, 8), (7, 8), (5, 16), (9, 4)]


@st.composite
def scores(draw, resolution=480):
    """Scores that a MIDI file holds in full: overlaps, empty tracks and empty ends left out."""
    bars = draw(st.lists(st.sampled_from(METERS), min_size=1, max_size=5))
    return Score(
        [
            Track(draw(bars_of(bars, resolution)), draw(st.integers(0, 127)), kind)
            for kind in draw(st.lists(st.sampled_from(["melodic", "drum"]), min_size=1, max_size=4))
        ],
        resolution,
        draw(st.integers(1, 2**24 - 1)),
    )


@st.composite
def bars_of(draw, bar_meters, resolution):
    """Bars with at least one note, in the last bar; no pitch repeats in two bars' time."""
    bars = [Bar([], *bar_meter) for bar_meter in bar_meters]
    pitches = iter(draw(st.permutations(range(128))))
    for index, bar in enumerate(bars):
        last = index == len(bars) - 1
        length = int(bar.beat_length * resolution)
        onsets = draw(st.lists(st.integers(0, length - 1), min_size=int(last), max_size=8))
        for onset in sorted(onsets):
            longest = length - onset if last else 3 * length
            duration = draw(
                st.integers(1, min(longest, remaining(bars, index, resolution) - onset))
            )
            bar.notes.append(Note(next(pitches), draw(st.integers(1, 127)), onset, duration))
    return bars


def remaining(bars, index, resolution):
    return int(sum(bar.beat_length for bar in bars[index:]) * resolution)


@given(scores())
def test_reading_gives_back_what_was_written(score):
    assert midi.parse(midi.serialize(score)) == score


@given(scores(resolution=96))
def test_other_resolutions_come_back_at_480(score):
    assert midi.parse(midi.serialize(score)) == score.resample(480)


@given(scores())
def test_symusic_hears_the_same_notes(score):
    heard = symusic.Score.from_midi(midi.serialize(score))
    for track, other in zip(score.tracks, heard.tracks, strict=True):
        start, expected = 0, []
        for bar in track.bars:
            expected += [
                (start + note.onset_ticks, note.duration_ticks, note.pitch, note.velocity)
                for note in bar.notes
            ]
            start += int(480 * bar.beat_length)
        found = [(note.time, note.duration, note.pitch, note.velocity) for note in other.notes]
        assert found == expected
        assert (other.program, other.is_drum) == (track.instrument, track.is_drum)


@given(
    st.lists(
        st.builds(
            Note,
            st.integers(60, 62),
            st.integers(1, 127),
            st.integers(0, 5).map(lambda step: step * 100),
            st.integers(0, 9).map(lambda step: step * 50),
        ),
        max_size=12,
    )
)
def test_overlapping_notes_end_where_their_pitch_begins_anew(given_notes):
    def placed(notes):
        return sorted((n.onset_ticks, n.pitch, n.duration_ticks, n.velocity) for n in notes)

    def audible(note):
        later = [n.onset_ticks for n in given_notes if n.pitch == note.pitch]
        room = [onset - note.onset_ticks for onset in later if onset > note.onset_ticks]
        duration = max(1, min([note.duration_ticks, *room]))
        return Note(note.pitch, note.velocity, note.onset_ticks, duration)

    score = midi.parse(midi.serialize(one_bar(*given_notes)))
    found = [note for track in score.tracks for note in track.bars[0].notes]
    assert placed(found) == placed(audible(note) for note in given_notes)


def test_long_chords_keep_their_order():
    chords = [
        Bar([Note(pitch, 80, onset, 400) for onset in (0, 480) for pitch in range(90, 30, -1)])
        for _ in range(8)
    ]
    score = Score([Track(chords)])
    assert midi.parse(midi.serialize(score)) == score


def test_a_large_score_takes_a_moment():
    bars = [Bar([Note(40 + n % 40, 80, n * 4, 200) for n in range(400)]) for _ in range(50)]
    began = time.perf_counter()
    score = midi.parse(midi.serialize(Score([Track(bars)])))
    assert sum(len(bar.notes) for bar in score.tracks[0].bars) == 20_000
    assert time.perf_counter() - began < 2
