import logging

import pytest

from midigpt import Bar, Note
from midigpt.inference import InferenceConfig
from midigpt.inference.checks import rejections

BOTH = ["silence_check", "novelty_check"]


def bar(*notes):
    """The one bar of a step; notes are pitch and onset."""
    return {(0, 0): Bar([Note(pitch, 80, onset, 12) for pitch, onset in notes])}


def failed(before, after, **config):
    return rejections(before, after, InferenceConfig(**config))


def test_silence():
    assert failed(bar((60, 0)), bar()) == ["silence_check"]
    assert failed(bar(), bar((60, 0))) == []


def test_silence_where_there_was_silence_fails_twice():
    assert failed(bar(), bar()) == BOTH


def test_checks_that_are_switched_off_only_speak_in_the_log(caplog):
    with caplog.at_level(logging.WARNING):
        assert failed(bar(), bar(), silence_check=False, novelty_check=False) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"an attempt fails the {name}, which is switched off" for name in BOTH
    ]


def test_the_same_notes_are_nothing_new():
    assert failed(bar((60, 0), (64, 12)), bar((64, 12), (60, 0))) == ["novelty_check"]
    assert failed(bar((60, 0)), bar((60, 1))) == []
    assert failed(bar((60, 0)), bar((61, 0))) == []
    assert failed(bar((60, 0)), bar((60, 0), (60, 0))) == []


def test_velocity_and_length_make_nothing_new():
    after = {(0, 0): Bar([Note(60, 20, 0, 24)])}
    assert failed(bar((60, 0)), after) == ["novelty_check"]


@pytest.mark.parametrize(("threshold", "rejected"), [(0.3, True), (0.34, False), (1.0, False)])
def test_similarity_is_intersection_over_union(threshold, rejected):
    before, after = bar((60, 0), (64, 0)), bar((60, 0), (67, 0))
    assert bool(failed(before, after, novelty_threshold=threshold)) == rejected


def test_below_a_threshold_of_one_the_track_does_not_count():
    before = {(0, 0): Bar([Note(60, 80, 0, 12)]), (1, 0): Bar([Note(64, 80, 0, 12)])}
    after = {(0, 0): before[1, 0], (1, 0): before[0, 0]}
    assert failed(before, after, novelty_threshold=0.99) == ["novelty_check"]
    assert failed(before, after) == []
