import pytest

from midigpt import Bar, Note, Score, Track
from midigpt.inference import InferenceConfig
from midigpt.inference.checks import rejections

TARGET = [(0, 0)]


def score(*notes, resolution=1920):
    return Score([Track([Bar(list(notes))])], resolution)


def test_silence(tokenizer):
    empty, full = score(), score(Note(60, 80, 0, 480))
    assert rejections(full, empty, TARGET, InferenceConfig(), tokenizer) == ["silence_check"]
    assert rejections(empty, full, TARGET, InferenceConfig(), tokenizer) == []


def test_silence_where_there_was_silence_fails_twice(tokenizer):
    failed = rejections(score(), score(), TARGET, InferenceConfig(), tokenizer)
    assert failed == ["silence_check", "novelty_check"]


def test_checks_can_be_switched_off(tokenizer):
    config = InferenceConfig(silence_check=False, novelty_check=False)
    assert rejections(score(), score(), TARGET, config, tokenizer) == []


def test_only_the_bars_that_were_written_count(tokenizer):
    before = Score([Track([Bar([Note(60, 80, 0, 480)]), Bar()])], 1920)
    after = Score([Track([Bar(), Bar([Note(61, 80, 0, 480)])])], 1920)
    assert rejections(before, after, [(0, 1)], InferenceConfig(), tokenizer) == []
    assert rejections(before, after, [(0, 0)], InferenceConfig(), tokenizer) == ["silence_check"]


def test_the_same_music_at_another_resolution_is_not_new(tokenizer):
    """The reference compared ticks of different lengths and found everything new (Q-15)."""
    before = score(Note(60, 80, 240, 120), resolution=480)
    after = score(Note(60, 80, 960, 480), resolution=1920)
    assert rejections(before, after, TARGET, InferenceConfig(), tokenizer) == ["novelty_check"]


def test_velocity_and_length_make_nothing_new(tokenizer):
    before, after = score(Note(60, 80, 0, 480)), score(Note(60, 20, 0, 960))
    assert rejections(before, after, TARGET, InferenceConfig(), tokenizer) == ["novelty_check"]


@pytest.mark.parametrize(("threshold", "rejected"), [(0.3, True), (0.34, False), (1.0, False)])
def test_similarity_is_intersection_over_union(tokenizer, threshold, rejected):
    before = score(Note(60, 80, 0, 480), Note(64, 80, 0, 480))
    after = score(Note(60, 80, 0, 480), Note(67, 80, 0, 480))
    config = InferenceConfig(novelty_threshold=threshold)
    failed = rejections(before, after, TARGET, config, tokenizer)
    assert failed == (["novelty_check"] if rejected else [])


def test_below_a_threshold_of_one_the_track_does_not_count(tokenizer):
    note, other = Note(60, 80, 0, 480), Note(64, 80, 0, 480)
    before = Score([Track([Bar([note])]), Track([Bar([other])])], 1920)
    after = Score([Track([Bar([other])]), Track([Bar([note])])], 1920)
    both = [(0, 0), (1, 0)]
    close = InferenceConfig(novelty_threshold=0.99)
    assert rejections(before, after, both, close, tokenizer) == ["novelty_check"]
    assert rejections(before, after, both, InferenceConfig(), tokenizer) == []
