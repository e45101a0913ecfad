"""The composer writes what it says it writes."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
from composer import Key, compose
from composer.bass import STYLES, Bass
from composer.dice import dice
from composer.drums import SIZES, Drums
from composer.figures import FIGURES, Comping
from composer.frame import FORMS, Frame
from composer.harmony import Chord, progression
from composer.keys import MODES
from composer.meter import Meter
from composer.rhythm import fill
from composer.voicing import voice

from tests.starter.conftest import FOLDER

PIECES = 150


@pytest.fixture(scope="module")
def pieces():
    return [compose(f"a test {number}") for number in range(PIECES)]


def test_a_name_gives_the_same_piece_in_every_process():
    code = "from composer import compose; print(compose('x'))"
    run = [sys.executable, "-c", code]
    told = {
        subprocess.check_output(run, cwd=FOLDER, env={"PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert compose("x") == compose("x")
    assert compose("x") != compose("y")


def test_every_pitch_is_in_the_key_of_its_piece(pieces):
    for piece in pieces:
        for track in piece.score.tracks:
            if not track.is_drum:
                pitches = {note.pitch % 12 for bar in track.bars for note in bar.notes}
                assert pitches <= piece.key.pitch_classes


def test_pieces_have_8_to_32_bars_and_notes_that_begin_inside_them(pieces):
    for piece in pieces:
        lengths = {len(track.bars) for track in piece.score.tracks}
        assert len(lengths) == 1
        assert lengths.pop() in {8, 12, 16, 24, 32}
        for track in piece.score.tracks:
            assert any(bar.notes for bar in track.bars)
            for bar in track.bars:
                for note in bar.notes:
                    assert 0 <= note.onset_ticks < bar.beat_length * piece.score.resolution
                    assert 1 <= note.duration_ticks <= 96
                    assert 0 < note.velocity < 128


def test_meters_modes_sizes_and_programs_vary(pieces):
    bars = [piece.score.tracks[0].bars[0] for piece in pieces]
    meters = Counter((bar.ts_numerator, bar.ts_denominator) for bar in bars)
    assert meters.keys() == {(4, 4), (3, 4), (6, 8), (2, 4)}
    assert meters[4, 4] > PIECES / 2
    assert {piece.key.tonic for piece in pieces} == set(range(12))
    assert {piece.key.mode for piece in pieces} >= {"major", "minor", "harmonic minor", "dorian"}
    assert {len(piece.score.tracks) for piece in pieces} == set(range(1, 9))
    assert len({t.instrument for piece in pieces for t in piece.score.tracks}) > 80


def test_every_level_of_every_attribute_occurs(pieces, language):
    met = Counter(
        (name, level)
        for piece in pieces
        for levels in language.analyzer.compute_score(piece.score)
        for name, level in levels.track.items()
    )
    for attribute in language.analyzer.attributes:
        total = sum(met[attribute.name, level] for level in range(attribute.size))
        for level in range(attribute.size):
            share = met[attribute.name, level] / total
            assert share > 0.01, (attribute.name, level)


def test_sections_with_the_same_letter_share_chords_and_music():
    frame = next(
        frame
        for frame in (Frame.draw(dice(number), number) for number in range(50))
        if [section.letter for section in frame.sections] == [*"AABA"]
    )
    first, second, other, last = frame.sections
    assert first.spans == second.spans == last.spans != other.spans
    assert "AABA" in FORMS[4]
    bass = Bass("walking", 33, 1.0)
    assert bass.play(dice("line"), frame, first) == bass.play(dice("line"), frame, last)


def test_steps_count_the_notes_of_the_scale():
    d_dorian = Key(2, "dorian")
    assert [d_dorian.pitch(step) for step in range(35, 43)] == [62, 64, 65, 67, 69, 71, 72, 74]
    for mode in MODES:
        key = Key(7, mode)
        assert all(key.step(key.pitch(step)) == step for step in range(70))
        assert key.step(key.pitch(30) + 1) == 30 + (key.pitch(31) == key.pitch(30) + 1)


def test_phrases_end_with_a_cadence():
    key = Key(0, "major")
    for number in range(30):
        spans = progression(dice(number), key, phrases=2, bars=4, bar=48)
        assert spans[-1].chord.root == 0
        assert spans[-2].chord.root in {3, 4}
        assert spans[0].start == 0
        assert spans[-1].end == 2 * 4 * 48
        assert all(a.end == b.start for a, b in pairwise(spans))


def test_voices_move_as_little_as_they_can():
    key = Key(0, "major")
    c_major = voice(Chord(0), key, 3, 60)
    assert {pitch % 12 for pitch in c_major} == {0, 4, 7}
    f_major = voice(Chord(3), key, 3, 60, c_major)
    assert {pitch % 12 for pitch in f_major} == {5, 9, 0}
    assert all(abs(a - b) <= 2 for a, b in zip(c_major, f_major, strict=True))


@pytest.mark.parametrize("meter", [Meter(4, 4), Meter(3, 4), Meter(6, 8), Meter(2, 4)])
def test_a_rhythm_fills_its_time_without_gaps(meter):
    for number in range(40):
        rng = dice(number)
        short = rng.randrange(6)
        rhythm = fill(rng, meter, 2 * meter.bar, short, rng.randrange(short, 6))
        assert rhythm[0].start == 0
        ends = [beat.start + beat.length for beat in rhythm]
        assert ends[:-1] == [beat.start for beat in rhythm[1:]]
        assert ends[-1] == 2 * meter.bar


def test_all_styles_and_figures_play_under_every_chord():
    for number in range(12):
        frame = Frame.draw(dice(number), number)
        section = frame.sections[0]
        for style in STYLES:
            line = Bass(style, 33, 1.0).play(dice(style), frame, section)
            assert {s.start for s in line} >= {span.start for span in section.spans}
            assert all(30 <= sound.pitch < 60 for sound in line)
        for figure in FIGURES:
            chords = Comping(figure, 4, 60, 1.0, open_position=False).play(
                dice(figure), frame, section
            )
            for span in section.spans:
                here = [s.pitch % 12 for s in chords if span.start <= s.start < span.end]
                allowed = {frame.key.pitch(step) % 12 for step in span.chord.steps()}
                assert set(here) <= allowed


def test_grooves_have_the_density_they_were_drawn_with():
    frame = next(
        frame for frame in (Frame.draw(dice(n), n) for n in range(50)) if frame.meter == Meter(4, 4)
    )
    assert len(SIZES) == 10
    for number in range(40):
        drums = Drums.draw(dice("kit", number), frame.meter)
        section = frame.sections[0]
        strokes = drums.play(dice("groove", number), frame, section)
        assert abs(len(strokes) / section.bars - drums.size) <= 2 + 0.1 * drums.size
