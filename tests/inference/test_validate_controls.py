import pytest

from midigpt import Bar
from tests.inference.asking import NO_NOTES, SWITCHABLE, ask, refusal, settled, song, warnings


@pytest.mark.parametrize(
    ("controls", "encoder", "message"),
    [
        ({"velocity": 1}, SWITCHABLE, "controls.velocity is 1; it must be true or false"),
        ({"velocity": False}, {}, "controls.velocity is false, which this checkpoint cannot do"),
        ({"velocity": True}, NO_NOTES, "controls.velocity is true, which this checkpoint cannot"),
        ({"microtiming": "on"}, SWITCHABLE, 'controls.microtiming is "on"'),
        ({"microtiming": True}, {}, "controls.microtiming is true, which this checkpoint cannot"),
        ({"microtiming": False}, {"emit_delta_tokens": True}, "controls.microtiming is false"),
        ({"genre": "polka"}, {}, 'controls.genre is "polka"; it must be one of jazz, pop'),
        ({"genre": 3}, {}, "controls.genre is 3; it must be one of jazz, pop"),
        (
            {"genre": "jazz"},
            {"genre_groups": None},
            'controls.genre is "jazz"; this checkpoint has',
        ),
        ({"tempo": 120}, {}, "controls.tempo is unknown; it must be one of velocity, microtiming"),
    ],
)
def test_piece_controls_that_are_refused(controls, encoder, message):
    assert refusal(ask(controls=controls), None, encoder).startswith(message)


@pytest.mark.parametrize(
    ("controls", "encoder"),
    [
        ({"velocity": True}, {}),
        ({"velocity": False, "microtiming": True}, SWITCHABLE),
        ({"microtiming": True}, {"emit_delta_tokens": True}),
        ({"genre": "SWING"}, {}),
    ],
)
def test_piece_controls_that_are_accepted(controls, encoder):
    assert settled(ask(controls=controls), None, encoder).controls == controls


@pytest.mark.parametrize(
    ("controls", "encoder", "message"),
    [
        ({"swing": 1}, {}, "controls.swing (track_id=0) is unknown; it must be one of time_sig"),
        (
            {"time_signature": 2},
            {},
            "controls.time_signature (track_id=0) is 2; it must be in 0..1",
        ),
        ({"time_signature": -1}, {}, "controls.time_signature (track_id=0) is -1"),
        (
            {"time_signature": 0},
            {"time_signatures": []},
            "controls.time_signature (track_id=0) is 0; this checkpoint has no meters",
        ),
        ({"pitch_mask": 1}, {}, "controls.pitch_mask (track_id=0) is 1; it must be an object"),
        (
            {"pitch_mask": {"pitches": [35, 84]}},
            {"pitch_range": [36, 83]},
            "controls.pitch_mask (track_id=0) leaves no pitch that this checkpoint has (36..83)",
        ),
        (
            {"pitch_mask": {"scale": "major"}},
            NO_NOTES,
            "controls.pitch_mask (track_id=0) leaves no pitch that this checkpoint has (none)",
        ),
        (
            {"pitch_mask": {"shape": {"type": "uniform", "max": 0}}},
            {"token_domains": [{"type": "NoteOnset", "domain_size": 127}], "pitch_range": [1, 127]},
            "controls.pitch_mask (track_id=0) leaves no pitch that this checkpoint has (1..127)",
        ),
        ({"rhythm_mask": {}}, {}, "controls.rhythm_mask (track_id=0) must have either positions"),
        (
            {"rhythm_mask": {"positions": [{"pos": 0}, {"pos": 48}]}},
            {},
            "controls.rhythm_mask.positions (track_id=0) has pos 48; it must be in 0..47",
        ),
        (
            {"rhythm_mask": {"grid": {"unit": "half"}}},
            NO_NOTES,
            "controls.rhythm_mask (track_id=0) needs TimeAbsolutePos tokens; this checkpoint has",
        ),
        ({"remix": {}}, {}, "controls.remix (track_id=0) has no amount"),
        (
            {"remix": {"amount": 1}},
            NO_NOTES,
            "controls.remix (track_id=0) needs TimeAbsolutePos tokens; this checkpoint has none",
        ),
        (
            {"remix": {"amount": 1}, "rhythm_mask": {"grid": {"unit": "half"}}},
            {},
            "controls.remix (track_id=0) cannot be used together with rhythm_mask",
        ),
    ],
)
def test_track_controls_that_are_refused(controls, encoder, message):
    encoder = {"attribute_controls": []} | encoder
    assert refusal(ask({"controls": controls}), None, encoder).startswith(f"tracks[0].{message}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pitch_mask", {"scale": "major"}),
        ("rhythm_mask", {"positions": [{"pos": 0}]}),
        ("remix", {"amount": 1}),
    ],
)
def test_an_ignored_track_cannot_be_shaped(name, value):
    request = ask(second={"ignore": True, "controls": {name: value}})
    message = f"tracks[1].controls.{name} (track_id=1) is for an ignored track"
    assert refusal(request).startswith(message)


@pytest.mark.parametrize(
    ("controls", "member"),
    [
        ({"rhythm_mask": {"positions": [{"pos": 0}]}}, "rhythm_mask.positions"),
        ({"remix": {"amount": 0.5}}, "remix"),
    ],
)
def test_controls_that_work_on_one_track_at_a_time(controls, member):
    at_once = {"tracks_per_step": 2}
    assert refusal(ask({"controls": controls}, config=at_once)) == (
        f"tracks[0].controls.{member} (track_id=0) works on one track at a time;"
        ' config.tracks_per_step is 2, it must be 1 or "auto"'
    )
    left_open = ask({"controls": controls}, config={"tracks_per_step": "auto"})
    assert settled(left_open).config.tracks_per_step == 1


def test_a_grid_works_on_any_number_of_tracks():
    grid = {"controls": {"rhythm_mask": {"grid": {"unit": "eighth"}}}}
    for tracks in (0, 2):
        config = settled(ask(grid, config={"tracks_per_step": tracks})).config
        assert config.tracks_per_step == tracks


def test_an_empty_pitch_mask_is_accepted_by_every_checkpoint():
    encoder = NO_NOTES | {"attribute_controls": []}
    assert warnings(ask({"controls": {"pitch_mask": {}}}), None, encoder) == []


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({9: {}}, "bar_controls (track_id=0, bar 9) has 9; bars must be in 0..3"),
        ({0: {}}, "bar_controls (track_id=0, bar 0) has bar 0, which is not to be written"),
        ({1: {"swing": 1}}, "bar_controls.1.swing (track_id=0, bar 1) is unknown; it must be time"),
        (
            {1: {"pitch_mask": {}}},
            "bar_controls.1.pitch_mask (track_id=0, bar 1) acts on tracks, not on bars; it belongs",
        ),
        (
            {1: {"remix": {}}},
            "bar_controls.1.remix (track_id=0, bar 1) acts on tracks, not on bars",
        ),
        (
            {1: {"time_signature": 2}},
            "bar_controls.1.time_signature (track_id=0, bar 1) is 2; it must be in 0..1",
        ),
        (
            {1: {"time_signature": 1}},
            "bar_controls.1.time_signature (track_id=0, bar 1) is 1, 3/4; it must be the bar's own",
        ),
    ],
)
def test_bar_controls_that_are_refused(controls, message):
    assert refusal(ask({"bar_controls": controls})).startswith(f"tracks[0].{message}")


def test_bar_controls_need_meters_to_choose_from():
    request = ask({"bar_controls": {1: {"time_signature": 0}}})
    message = refusal(request, None, {"time_signatures": []})
    assert message.startswith(
        "tracks[0].bar_controls.1.time_signature (track_id=0, bar 1) is 0; th"
    )


def test_tracks_must_agree_on_the_meter_of_a_bar():
    score = song()
    score.tracks[0].bars[1] = Bar([], 3, 4)
    request = ask(
        {"bar_controls": {1: {"time_signature": 1}}},
        {"bars": [1], "bar_controls": {1: {"time_signature": 0}}},
    )
    assert refusal(request, score) == (
        "tracks[1].bar_controls.1.time_signature (track_id=1, bar 1) is 0; it must be 1, as an"
        " earlier track has it"
    )


def test_meters_are_settled_as_integers():
    whole = {"bars": [], "autoregressive": True}
    asked = {"controls": {"time_signature": 0.0}, "bar_controls": {"2": {"time_signature": 0.0}}}
    track = settled(ask(whole | asked)).tracks[0]
    chosen = [track.controls["time_signature"], track.bar_controls[2]["time_signature"]]
    assert [type(index) for index in chosen] == [int, int]
    assert warnings(ask(whole | asked)) == []


def test_a_meter_asked_of_bars_that_keep_theirs_is_warned_of():
    nothing = "does nothing on this track: it acts only on tracks that are written autoregressively"
    asked = {"controls": {"time_signature": 0}, "bar_controls": {"1": {"time_signature": 0}}}
    assert warnings(ask(asked, {"controls": {"time_signature": 1}})) == [
        f"tracks[0].controls.time_signature (track_id=0) {nothing} from bar 0 on",
        f"tracks[0].bar_controls.1.time_signature (track_id=0, bar 1) {nothing} from bar 0 on",
        f"tracks[1].controls.time_signature (track_id=1) {nothing} from bar 0 on",
    ]


def test_a_meter_may_be_spelled():
    """As in the reference, and as levels may; over HTTP it must be a number."""
    request = settled(ask({"controls": {"time_signature": "1"}}))
    assert request.tracks[0].controls == {"time_signature": 1}


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        (ask({"controls": {"pitch_masks": {}}}), "did you mean pitch_mask?"),
        (ask({"controls": {"pitch_mask": {"scales": "blues"}}}), "did you mean scale?"),
        (ask({"attributes": {"max_polyphonie": 1}}), "did you mean max_polyphony?"),
        (ask(controls={"genres": "jazz"}), "did you mean genre?"),
        (ask(controls={"tempo": 120}), "velocity, microtiming, genre"),
    ],
)
def test_names_that_are_nearly_right(asked, hint):
    assert refusal(asked).endswith(hint)
