import pytest

from midigpt import Note
from tests.inference.asking import ask, refusal, settled, song, warnings


@pytest.mark.parametrize(
    ("member", "levels", "message"),
    [
        ("attributes", {"nope": 1}, 'tracks[0].attributes (track_id=0) has no attribute "nope"'),
        (
            "attributes",
            {"bar_max_polyphony": 1},
            "tracks[0].attributes.bar_max_polyphony (track_id=0) is an attribute of a bar; it",
        ),
        (
            "attributes",
            {"max_polyphony": 10},
            "tracks[0].attributes.max_polyphony (track_id=0) is 10; it must be in 0..9",
        ),
        ("attributes", {"max_polyphony": -1}, "tracks[0].attributes.max_polyphony (track_id=0) is"),
        (
            "attributes",
            {"note_density": 1},
            "tracks[0].attributes.note_density (track_id=0) is for drum tracks; this track is mel",
        ),
        (
            "bar_attributes",
            {4: {}},
            "tracks[0].bar_attributes (track_id=0, bar 4) has 4; bars must be in 0..3",
        ),
        (
            "bar_attributes",
            {0: {}},
            "tracks[0].bar_attributes (track_id=0, bar 0) has bar 0, which is not to be written",
        ),
        (
            "bar_attributes",
            {1: {"nope": 3}},
            'tracks[0].bar_attributes.1 (track_id=0, bar 1) has no attribute "nope"; this checkp',
        ),
        (
            "bar_attributes",
            {1: {"max_polyphony": 3}},
            "tracks[0].bar_attributes.1.max_polyphony (track_id=0, bar 1) is an attribute of a tr",
        ),
        (
            "bar_attributes",
            {1: {"bar_max_polyphony": 10}},
            "tracks[0].bar_attributes.1.bar_max_polyphony (track_id=0, bar 1) is 10; it must be in",
        ),
        (
            "bar_attributes",
            {1: {"bar_note_density": 1}},
            "tracks[0].bar_attributes.1.bar_note_density (track_id=0, bar 1) is for drum tracks",
        ),
    ],
)
def test_levels_that_are_refused(member, levels, message):
    assert refusal(ask({member: levels})).startswith(message)


def test_a_melodic_attribute_on_a_drum_track():
    message = refusal(ask(second={"attributes": {"max_polyphony": 1}}))
    assert message.endswith("(track_id=1) is for melodic tracks; this track is drum")


def test_levels_are_settled_as_integers():
    prompt = {
        "attributes": {"max_polyphony": "3"},
        "bar_attributes": {"1": {"pitch_class_set": 2.0}},
    }
    track = settled(ask(prompt)).tracks[0]
    assert track.attributes == {"max_polyphony": 3}
    assert track.bar_attributes == {1: {"pitch_class_set": 2}}


def test_without_an_analyzer_only_names_are_known():
    prompt = {"attributes": {"polyphony_quantile": 99}, "bar_attributes": {1: {"nomml": 1}}}
    message = refusal(ask(prompt), analyzer=False)
    assert message.startswith('tracks[0].bar_attributes.1 (track_id=0, bar 1) has no attribute "n')
    del prompt["bar_attributes"]
    assert settled(ask(prompt), analyzer=False).tracks[0].attributes == {"polyphony_quantile": 99}


def test_a_level_that_the_other_bars_rule_out_is_warned_of():
    score = song()
    score.tracks[0].bars[0].notes = [Note(60 + i, 90, 0, 1920) for i in range(5)]
    message = (
        "tracks[0].attributes.max_polyphony (track_id=0) is 1, but with the bars that stay only"
        " 4..9 can be reached"
    )
    low = {"attributes": {"max_polyphony": 1}}
    assert warnings(ask(low), score) == [message]
    assert warnings(ask(low | {"bars": [2, 3], "autoregressive": True}), score) == [message]
    assert warnings(ask(low | {"bars": [], "autoregressive": True}), score) == []
    assert warnings(ask({"attributes": {"max_polyphony": 4}}), score) == []


def test_attributes_asked_of_a_checkpoint_without_any_are_warned_of():
    for analyzer in (True, False):
        asked = ask({"attributes": {"anything": 3}})
        (warning,) = warnings(asked, encoder={"attribute_controls": []}, analyzer=analyzer)
        assert warning == (
            "tracks[0].attributes.anything (track_id=0) has no effect: this checkpoint has no"
            " attributes"
        )


def test_a_level_that_is_never_written_into_a_prompt_is_warned_of():
    asked = {"bar_attributes": {"1": {"pitch_class_set": 2, "bar_max_polyphony": 2}}}
    (warning,) = warnings(ask(asked))
    assert warning == (
        "tracks[0].bar_attributes.1.pitch_class_set (track_id=0, bar 1) has no effect: it acts only"
        " on tracks written from bar 0 on"
    )
    assert warnings(ask(asked | {"bars": [], "autoregressive": True})) == []
