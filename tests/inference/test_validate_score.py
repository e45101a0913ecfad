import pytest

from midigpt import Bar, Note, Score, Track
from tests.inference.asking import ask, refusal, song, warnings


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([], "score.tracks is empty; it must have at least one track"),
        ([4, 0], "score.tracks[1].bars (track_id=1) has 0 bars"),
        ([4, 3], "score.tracks[1].bars (track_id=1) has 3 bars; it must be the same positive"),
        ([3, 3], "config.model_dim is 4, but the score has only 3 bars; pad it with empty bars"),
    ],
)
def test_scores_that_are_refused(lengths, message):
    score = Score([Track([Bar() for _ in range(length)]) for length in lengths])
    assert refusal(ask(config={"model_dim": 4}), score).startswith(message)


def test_a_meter_that_the_checkpoint_lacks():
    score = song()
    score.tracks[1].bars[2] = Bar([], 13, 4)
    message = (
        "score.tracks[1].bars[2] (track_id=1, bar 2) is in 13/4; it must be in one of 4/4, 3/4"
    )
    assert refusal(ask(second={"ignore": True}), score) == message
    assert warnings(ask(), score, {"time_signatures": None}) == []


@pytest.mark.parametrize(
    ("meter", "spelled"), [((0, 4), "0/4"), ((4, 0), "4/0"), ((-3, 4), "-3/4")]
)
@pytest.mark.parametrize("encoder", [{}, {"time_signatures": None}], ids=["some", "any"])
def test_what_is_no_meter(meter, spelled, encoder):
    score = song()
    score.tracks[1].bars[2] = Bar([], *meter)
    place = "score.tracks[1].bars[2] (track_id=1, bar 2)"
    message = f"{place} is in {spelled}; both numbers must be at least 1"
    assert refusal(ask(second={"ignore": True}), score, encoder) == message


def test_ticks_without_a_length():
    score = song()
    score.resolution = 0
    assert refusal(ask(), score) == "score.resolution is 0; it must be at least 1"


def test_notes_that_the_checkpoint_cannot_say_are_counted():
    score = song()
    score.tracks[0].instrument = 128
    score.tracks[0].bars[0].notes = [
        Note(35, 90, 0, 1),
        Note(84, 90, 0, 0),
        Note(60, 90, -1, 1),
        Note(60, 90, 1920, 1),
        Note(60, 90, 1919, -5),
    ]
    assert warnings(ask(), score, {"pitch_range": [36, 83]}) == [
        "score: 2 of note pitches outside 36..83, the range of this checkpoint",
        "score: 1 of track instruments outside 0..127, read as 0",
        "score: 2 of note duration_ticks below 1, read as the shortest duration",
        "score: 2 of note onset_ticks outside their bar, moved to the nearest position",
    ]
