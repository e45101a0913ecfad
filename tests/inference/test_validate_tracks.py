import pytest

from tests.inference.asking import ask, refusal, settled, song


def test_every_track_needs_a_prompt():
    assert refusal({"tracks": []}) == "tracks is empty; it must have a prompt for every track"
    message = refusal({"tracks": [{"id": 5, "bars": [1]}]})
    assert message.startswith("tracks has no prompt with track_id=0, 1; every track")
    assert "ignore" in message


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (1, "tracks[2].id (track_id=1) is 1, which an earlier prompt has"),
        (2, "tracks[2].id (track_id=2) is 2; it must be in 0..1"),
        (-1, "tracks[2].id (track_id=-1) is -1; it must be in 0..1"),
        (10**30, "tracks[2].id (track_id=1000000000000000000000000000000) is 1000"),
    ],
)
def test_a_prompt_that_no_track_needs(extra, message):
    request = ask()
    request["tracks"].append({"id": extra, "bars": []})
    assert refusal(request).startswith(message)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (
            {"bars": [], "autoregressive": True, "ignore": True},
            "tracks[0].ignore (track_id=0) is set together with autoregressive",
        ),
        ({"ignore": True}, "tracks[0].bars (track_id=0) is [1]; it must be empty on an ignored"),
        ({"bars": [4]}, "tracks[0].bars (track_id=0, bar 4) has 4; bars must be in 0..3"),
        ({"bars": [-1]}, "tracks[0].bars (track_id=0, bar -1) has -1; bars must be in 0..3"),
        ({"bars": [2**63]}, "tracks[0].bars (track_id=0, bar 9223372036854775808) has"),
        (
            {"bars": [], "ignore": True, "mask_bars": [9]},
            "tracks[0].mask_bars (track_id=0) is [9]; it must be empty on an ignored track",
        ),
        ({"mask_bars": [9]}, "tracks[0].mask_bars (track_id=0, bar 9) has 9; bars must be in 0..3"),
        ({"mask_bars": [0, 1]}, "tracks[0].mask_bars (track_id=0) has [1], which are bars to"),
        (
            {"bars": [1, 2], "autoregressive": True},
            "tracks[0].bars (track_id=0) is [1, 2]; on an autoregressive track it must be a run",
        ),
        ({"bars": [1, 3], "autoregressive": True}, "tracks[0].bars (track_id=0) is [1, 3]"),
        ({"bars": [2, 3, 3], "autoregressive": True}, "tracks[0].bars (track_id=0) is [2, 3, 3]"),
    ],
)
def test_bars_that_are_refused(prompt, message):
    assert refusal(ask(prompt)).startswith(message)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"id": "0"}, 'tracks[0].id is "0"; it must be an integer'),
        ({"bars": [1, None]}, "tracks[0].bars[1] (track_id=0) is null; it must be an integer"),
        ({"ignore": 2}, "tracks[0].ignore (track_id=0) is 2; it must be true or false"),
        ({"autoregressive": None}, "tracks[0].autoregressive (track_id=0) is null"),
        ({"mask_bars": [True]}, "tracks[0].mask_bars[0] (track_id=0) is true"),
        ({"attributes": {"max_polyphony": "x"}}, "tracks[0].attributes.max_polyphony (track_id=0)"),
        ({"attributes": {"max_polyphony": 3.7}}, "tracks[0].attributes.max_polyphony (track_id=0)"),
        (
            {"bar_attributes": {1: {"bar_max_polyphony": None}}},
            "tracks[0].bar_attributes.1.bar_max_polyphony (track_id=0) is null",
        ),
        ({"controls": {"time_signature": "x"}}, "tracks[0].controls.time_signature (track_id=0)"),
        (
            {"bar_controls": {1: {"time_signature": True}}},
            "tracks[0].bar_controls.1.time_signature (track_id=0, bar 1) is true",
        ),
    ],
)
def test_members_of_a_prompt_of_the_wrong_type(prompt, message):
    assert refusal(ask(prompt), error=TypeError).startswith(message)


@pytest.mark.parametrize("autoregressive", [False, True])
def test_a_hidden_bar_cannot_be_written(autoregressive):
    score = song()
    score.tracks[0].bars[3].future = True
    message = refusal(ask({"bars": [3], "autoregressive": autoregressive}), score)
    assert message.startswith("tracks[0].bars (track_id=0, bar 3) has 3, a future bar of the score")
    assert settled(ask(), score).tracks[0].bars == [1]


@pytest.mark.parametrize(
    ("prompt", "bars"),
    [
        ({"bars": [], "autoregressive": True}, [0, 1, 2, 3]),
        ({"bars": [3, 2], "autoregressive": True, "mask_bars": [0, 0]}, [3, 2]),
        ({"bars": [3, 1, 1]}, [3, 1, 1]),
        ({"bars": (1,)}, [1]),
    ],
)
def test_bars_that_are_accepted(prompt, bars):
    assert settled(ask(prompt)).tracks[0].bars == bars


def test_something_must_be_asked_for():
    nothing = "tracks asks for nothing; at least one prompt must have bars or be autoregressive"
    assert refusal(ask({"bars": []})) == nothing
    assert refusal(ask({"bars": [], "ignore": True}, {"ignore": True})) == nothing


def test_a_checkpoint_that_cannot_fill_in():
    message = refusal(ask(), None, {"supports_infill": False})
    assert message.startswith("tracks[0].bars (track_id=0) is [1], but this checkpoint cannot fill")
    continued = ask({"bars": [], "autoregressive": True})
    assert settled(continued, None, {"supports_infill": False}).tracks[0].bars == [0, 1, 2, 3]
