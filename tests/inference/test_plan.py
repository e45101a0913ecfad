import random

from hypothesis import given
from hypothesis import strategies as st

from midigpt.inference.plan import plan, shuffled, summary


def steps_of(*tracks, ar=(), window=4, bars=0, tracks_per_step=0, **history):
    """The plan for a drawing with one row of bars per track, X for those to be written."""
    return plan(
        [[cell == "X" for cell in track] for track in tracks],
        [track in ar for track in range(len(tracks))],
        window=window,
        bars_per_step=bars,
        tracks_per_step=tracks_per_step,
        **{"ar_overlap": 0.5, "min_overlap": 2} | history,
    )


def drawn(*tracks, **options):
    """Each step as a drawing: T is written, c is seen, a dot is outside the window."""
    steps = steps_of(*tracks, **options)
    return [" ".join(draw(step, t, len(row)) for t, row in enumerate(tracks)) for step in steps]


def draw(step, track, bars):
    seen = range(*step.window)
    return "".join(
        "T" if (track, bar) in step.targets else "c" if bar in seen else "." for bar in range(bars)
    )


def test_a_bar_is_filled_in_from_the_middle_of_its_window():
    assert drawn("..XX..X.", bars=1) == ["ccTc....", ".ccTc...", "....ccTc"]


def test_bars_close_together_are_filled_in_at_once():
    assert drawn("..XX..X.") == [".cTTc...", "....ccTc"]
    assert drawn("X.X") == ["TcT"]


def test_a_continuation_slides_along_and_ends_with_a_full_window():
    assert drawn("XXXXXXXX", ar=[0], bars=1) == ["TTTT....", ".cccT...", "..cccT..", "....ccTT"]
    assert drawn("XX", ar=[0]) == ["TT"]


def test_a_continuation_keeps_some_history():
    assert drawn(".....XXX", ar=[0]) == ["...ccTT.", "....cccT"]
    assert drawn(".....XXX", ar=[0], min_overlap=1) == ["....cTTT"]
    assert drawn(".....XXX", ar=[0], min_overlap=0, ar_overlap=0.75) == ["....cTTT"]
    assert drawn(".....XXX", ar=[0], min_overlap=9) == [
        "..cccT..",
        "...cccT.",
        "....cccT",
    ]


def test_a_continuation_writes_one_run_after_the_other():
    assert drawn("..X.XX..", ar=[0], bars=1) == ["ccTc....", "..ccTT.."]


def test_a_step_never_has_more_bars_than_the_window():
    assert drawn("XXXX", window=2, bars=4) == ["TT..", "..TT"]
    assert drawn("XXXX", ar=[0], window=2, bars=4) == ["TT..", "..TT"]


def test_tracks_are_filled_in_together_or_in_turn():
    assert drawn("X.", "X.", "X.", tracks_per_step=0) == ["Tc Tc Tc"]
    assert drawn("X.", "X.", "X.", tracks_per_step=2) == ["Tc Tc cc", "cc cc Tc"]
    assert drawn("X.", "..", "X.", tracks_per_step=2) == ["Tc cc Tc"]
    assert drawn(".X......", ".....X..") == ["cTcc.... cccc....", "...cccc. ...ccTc."]


def test_continuations_come_before_fills():
    assert drawn("XXX", "XXX", "XX.", ar=[1, 2]) == ["ccc TTT ccc", "ccc ccc TTc", "TTT ccc ccc"]


def test_the_active_track_of_a_continuation():
    (step,) = steps_of("...", "XXX", ar=[1])
    assert step.active_track == 1


def test_the_bars_of_a_step_by_track():
    (step,) = steps_of("X.X.", "....", ".XX.")
    assert step.bars == {0: [0, 2], 2: [1, 2]}


def test_fills_are_shuffled_and_continuations_are_not():
    steps = steps_of("X.X.X.X.X.X.", "X" * 12, ar=[1], bars=1)
    fills = [step for step in steps if not step.autoregressive]
    expected = list(fills)
    random.Random(7).shuffle(expected)

    mixed = shuffled(steps, 7)

    assert mixed == [step for step in steps if step.autoregressive] + expected
    assert expected != fills


def test_a_summary_speaks_of_the_ids_of_the_request():
    steps = steps_of("X.X", "..X", ar=[])
    assert summary(steps, [3, 5]) == [
        {"window": [0, 3], "autoregressive": False, "generate": {"3": [0, 2], "5": [2]}}
    ]


@st.composite
def requests(draw_):
    bars = draw_(st.integers(1, 20))
    row = st.text("X.", min_size=bars, max_size=bars)
    tracks = draw_(st.lists(row, min_size=1, max_size=4))
    options = {
        "ar": draw_(st.sets(st.integers(0, 3))),
        "window": draw_(st.integers(1, 8)),
        "bars": draw_(st.integers(0, 8)),
        "tracks_per_step": draw_(st.integers(0, 4)),
        "ar_overlap": draw_(st.floats(0, 1, exclude_max=True)),
        "min_overlap": draw_(st.integers(0, 9)),
    }
    return tracks, options


@given(requests())
def test_every_bar_is_written_once_and_in_view(request_):
    tracks, options = request_
    steps = steps_of(*tracks, **options)

    written = [cell for step in steps for cell in step.targets]
    assert sorted(written) == [
        (t, b) for t, row in enumerate(tracks) for b, cell in enumerate(row) if cell == "X"
    ]
    for step in steps:
        start, end = step.window
        assert 0 <= start < end <= len(tracks[0])
        assert end - start == min(options["window"], len(tracks[0]))
        assert step.targets
        assert all(start <= bar < end for _, bar in step.targets)


@given(requests())
def test_a_continuation_is_written_from_left_to_right(request_):
    tracks, options = request_
    order = [
        cell
        for step in steps_of(*tracks, **options)
        if step.autoregressive
        for cell in sorted(step.targets)
    ]
    assert order == sorted(order)


@given(requests().filter(lambda made: made[1]["bars"] > 0))
def test_a_fill_spans_no_more_bars_than_asked(request_):
    tracks, options = request_
    for step in steps_of(*tracks, **options):
        bars = [bar for _, bar in step.targets]
        if not step.autoregressive:
            assert max(bars) - min(bars) < options["bars"]
            assert len({track for track, _ in step.targets}) <= (options["tracks_per_step"] or 4)
