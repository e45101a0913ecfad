import copy
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midigpt import Bar, Note, Score, Track
from midigpt.errors import EncoderConfigError
from midigpt.tokens import EncodeOptions
from tests.tokens.words import say, tokenizer


class Levels(NamedTuple):
    track: dict
    bars: list


class Counting:
    """Measures the number of bars of a track, and the first onset and the notes of a bar."""

    def token_domain_specs(self):
        return [("NoteDensity", 10), ("Tension", 10), ("BarLevelPitchClassSet", 13)]

    def compute_score(self, score):
        return [
            Levels({"note_density": len(track.bars)}, [self._bar(bar) for bar in track.bars])
            for track in score.tracks
        ]

    def _bar(self, bar):
        first = bar.notes[0].onset_ticks if bar.notes else 0
        return {"Tension": first, "BarLevelPitchClassSet": len(bar.notes)}


def test_measured_levels_replace_stored_ones():
    chosen = tokenizer(Counting())
    score = Score([Track([Bar([Note(60, 80, 3, 1)]), Bar()], attributes={"note_density": 7})], 12)
    words = say(chosen.vocabulary, chosen.encode(score).tokens)
    assert "Instrument NoteDensity:2 Bar Tension:3 TimeSig TimeAbsolutePos:3" in words
    stored = chosen.encode(score, compute_attributes=False).tokens
    assert "Instrument NoteDensity:7 Bar TimeSig" in say(chosen.vocabulary, stored)


def test_pitch_class_sets_are_measured_but_not_written():
    chosen = tokenizer(Counting())
    score = Score([Track([Bar([Note(60, 80, 0, 1)])])], 12)
    assert "PitchClassSet" not in say(chosen.vocabulary, chosen.encode(score).tokens)
    score.tracks[0].attributes["bar_PitchClassSet_0"] = 4
    assert "BarLevelPitchClassSet:4" in say(chosen.vocabulary, chosen.encode(score).tokens)


def test_levels_are_measured_on_the_token_grid():
    chosen = tokenizer(Counting())
    score = Score([Track([Bar([Note(60, 80, 320, 40)])])], 480)
    assert "Tension:8" in say(chosen.vocabulary, chosen.encode(score).tokens)


def test_levels_that_the_config_does_not_list_get_tokens():
    assert "Tension" in tokenizer(Counting()).vocabulary
    assert "Tension" not in tokenizer().vocabulary


def test_without_an_analyzer_stored_levels_are_written():
    domains = [{"type": "Track", "domain_size": 2}, {"type": "NoteDensity", "domain_size": 10}]
    chosen = tokenizer(token_domains=domains)
    score = Score([Track(attributes={"note_density": 7})], 12)
    assert say(chosen.vocabulary, chosen.encode(score).tokens) == "Track NoteDensity:7"


@pytest.mark.parametrize("resolution", [12, 480])
def test_the_score_is_not_modified(resolution):
    chosen = tokenizer(Counting())
    notes = [Note(62, 80, 3, 1), Note(60, 80, 0, 1)]
    score = Score([Track([Bar(notes)], attributes={"nomml": 3})], resolution)
    before = copy.deepcopy(score)
    chosen.encode(score, EncodeOptions(multi_fill=frozenset({(0, 0)})))
    assert score == before


def test_onsets_can_be_rounded_beforehand():
    chosen = tokenizer(emit_delta_tokens=True)
    score = Score([Track([Bar([Note(60, 80, 30, 480)])])], 480)
    floored = say(chosen.vocabulary, chosen.encode(score).tokens)
    assert "TimeSig VelocityLevel:20 Delta:5 NoteOnset:60" in floored
    rounded = chosen.encode(chosen.to_grid(score, nearest=True)).tokens
    words = say(chosen.vocabulary, rounded)
    assert "TimeSig TimeAbsolutePos:1 VelocityLevel:20 DeltaDirection Delta:3 NoteOnset:60" in words


def test_without_microtiming_decoded_notes_have_no_delta():
    """A fraction of a tick that nothing was said about means nothing."""
    chosen = tokenizer(resolution=7)
    score = Score([Track([Bar([Note(60, 80, 1, 1)])])], 7)
    ((note,),) = (bar.notes for bar in chosen.from_grid(score).tracks[0].bars)
    assert (note.onset_ticks, note.delta) == (68, 0)


def test_on_the_grid_there_is_nothing_to_do():
    chosen = tokenizer(decode_resolution=12)
    score = Score([], 12)
    assert chosen.to_grid(score) is score
    assert chosen.from_grid(score) is score


def test_genres_are_those_of_the_config():
    assert tokenizer(genre_groups={"b": ["x"], "a": []}).genres.encode("X") == 1
    assert tokenizer().genres.num_genres() == 0


def test_too_few_velocity_levels():
    with pytest.raises(EncoderConfigError, match="VelocityLevel has 1 levels"):
        tokenizer(token_domains=[{"type": "VelocityLevel", "domain_size": 1}])


EXACT = tokenizer(emit_delta_tokens=True, velocity_levels=128, decode_resolution=12)
METERS = {(4, 4): 48, (3, 4): 36}


@st.composite
def bars_of(draw, drum):
    meter = draw(st.sampled_from(sorted(METERS)))
    note = st.builds(
        Note,
        pitch=st.integers(0, 127),
        velocity=st.integers(1, 127),
        onset_ticks=st.integers(0, METERS[meter] - 1),
        duration_ticks=st.just(1) if drum else st.integers(1, 96),
        delta=st.integers(-5, 5),
    )
    notes = draw(st.lists(note, max_size=6))
    return Bar(sorted(notes, key=lambda note: (note.onset_ticks, note.pitch)), *meter)


@st.composite
def tracks(draw):
    drum = draw(st.booleans())
    bars = draw(st.lists(bars_of(drum), max_size=3))
    return Track(bars, draw(st.integers(0, 127)), "drum" if drum else "melodic")


@given(st.builds(Score, st.lists(tracks(), max_size=3), st.just(12)))
def test_what_the_grid_holds_comes_back(score):
    assert EXACT.decode(EXACT.encode(score).tokens) == score


@given(st.builds(Score, st.lists(tracks(), max_size=3), st.just(12)), st.data())
def test_filled_bars_come_back(score, data):
    cells = [(t, b) for t, track in enumerate(score.tracks) for b in range(len(track.bars))]
    chosen = data.draw(st.sets(st.sampled_from(cells)) if cells else st.just(set()))
    options = EncodeOptions(multi_fill=frozenset(chosen))
    assert EXACT.decode(EXACT.encode(score, options).tokens) == score


COARSE = tokenizer(instrument_merge_groups=[[0, 1, 2], [10, 3]], decode_resolution=12)


@given(st.builds(Score, st.lists(tracks(), max_size=3), st.just(12)))
def test_what_comes_back_is_written_the_same(score):
    tokens = COARSE.encode(score).tokens
    assert COARSE.encode(COARSE.decode(tokens)).tokens == tokens
