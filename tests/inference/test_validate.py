import logging
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midigpt import Note
from midigpt.inference.request import GenerationRequest, InferenceConfig, TrackPrompt
from midigpt.inference.validate import validate_request
from midigpt.tokens import EncoderConfig
from tests.inference.asking import ENCODER, ask, check, refusal, settled, song, warnings


def test_a_good_request_comes_back_settled():
    request = ask({"bars": [1.0]}, config={"model_dim": "auto", "shuffle": 1, "seed": None})
    assert settled(request) == GenerationRequest(
        [TrackPrompt(0, [1]), TrackPrompt(1)],
        InferenceConfig(model_dim=4, shuffle=True, seed=-1, mask_mode="attention"),
    )
    assert warnings(request) == []


def test_rules_are_applied_in_order():
    bad = ask({"bars": [9]}, config={"model_dim": 5, "temperature": 0}, controls={"tempo": 1})
    for member, repair in (
        ("config.model_dim", bad["config"].pop),
        ("config.temperature", bad["config"].pop),
        ("controls.tempo", bad["controls"].pop),
    ):
        assert refusal(bad).startswith(member)
        repair(member.rpartition(".")[2])
    assert refusal(bad).startswith("tracks[0].bars")


def test_validate_request_logs_the_warnings(caplog):
    request = GenerationRequest.from_dict(ask(config={"temperature_escalation": 9}))
    with caplog.at_level(logging.WARNING, logger="midigpt"):
        result = validate_request(request, song(), EncoderConfig.parse(ENCODER))
    assert result.config.temperature_escalation == 3
    assert caplog.messages == ["config.temperature_escalation is 9.0; 3.0 is used"]


HUGE = 10**4000

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
)


def some(**members):
    """Objects with some of these members."""
    return st.fixed_dictionaries({}, optional=members)


LEVELS = some(max_polyphony=st.integers(0, 9))
BAR_LEVELS = some(bar_max_polyphony=st.integers(0, 9))
BAR_CONTROLS = some(time_signature=st.just(0))
PITCH_MASKS = st.sampled_from(
    [
        {},
        {"pitches": [60, 61.0]},
        {"scale": "blues", "root": 14},
        {"pitch_classes": [0], "shape": {"type": "normal", "mean": 50, "std": 3}},
        {"shape": {"type": "uniform", "min": 20, "max": 30}},
    ]
)
RHYTHM_MASKS = st.sampled_from(
    [
        {"grid": {"unit": "half", "strength": 0.5}},
        {"positions": [{"pos": 24.0}, {"pos": 0, "polyphony": 2}]},
    ]
)
CONTROLS = some(
    time_signature=st.sampled_from([0, 1, 1.0]), pitch_mask=PITCH_MASKS, rhythm_mask=RHYTHM_MASKS
) | some(remix=st.sampled_from([{"amount": 1}, {"amount": 0.5, "mode": "full"}]))
REQUESTS = st.fixed_dictionaries(
    {
        "tracks": st.tuples(
            st.fixed_dictionaries(
                {"id": st.just(0), "bars": st.just([1, 2])},
                optional={
                    "ignore": st.just(False),
                    "mask_bars": st.lists(st.sampled_from([0, 3])),
                    "attributes": LEVELS,
                    "controls": CONTROLS,
                    "bar_attributes": st.fixed_dictionaries({"1": BAR_LEVELS}),
                    "bar_controls": st.fixed_dictionaries({"2": BAR_CONTROLS}),
                },
            ),
            st.fixed_dictionaries(
                {"id": st.just(1), "bars": st.just([])},
                optional={"autoregressive": st.booleans(), "controls": CONTROLS},
            ),
        ).map(list),
        "config": some(
            model_dim=st.sampled_from([2, 2.0, 4, "auto", None, -1]),
            bars_per_step=st.sampled_from([0, 1, 2, "auto"]),
            tracks_per_step=st.sampled_from([0, 1, 1.0, "auto"]),
            temperature=st.floats(0.1, 1e300),
            temperature_escalation=st.floats(1, 10),
            seed=st.integers(-(2**65), 2**63 - 1) | st.none(),
            shuffle=st.sampled_from([0, 1, True]),
            context_drop=st.lists(st.integers(0, 1)),
        ),
        "controls": some(velocity=st.just(True), genre=st.sampled_from(["jazz", "SWING"])),
    }
)


@st.composite
def spoilt(draw):
    """A request in which something is replaced by anything at all."""
    request = here = deepcopy(draw(REQUESTS))
    deeper = st.sampled_from([True, True, True, False])
    while True:
        key = draw(st.sampled_from([*(here if isinstance(here, dict) else range(len(here)))]))
        if not (isinstance(here[key], (dict, list)) and here[key] and draw(deeper)):
            break
        here = here[key]
    here[key] = draw(JSON)
    return request


def problem(data):
    """What is wrong with a request, in words; empty if nothing is."""
    try:
        request = GenerationRequest.from_dict(data)
        before = deepcopy(request)
        check(request)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return str(error)
    assert request == before
    return ""


@given(spoilt() | JSON)
@settings(max_examples=200)
def test_whatever_is_asked_is_settled_or_refused_in_a_line(data):
    message = problem(data)
    assert len(message.splitlines()) <= 1
    assert len(message) < 1000


@given(REQUESTS)
def test_a_good_request_is_not_modified_and_settles_once(data):
    request, score = GenerationRequest.from_dict(data), song()
    before = deepcopy(request)
    result = settled(request, score)
    assert request == before
    assert score == song()
    assert settled(result) == result


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (ask(config={"seed": -HUGE, "top_k": HUGE, "min_overlap_bars": HUGE}), ""),
        (ask({"controls": {"pitch_mask": {"pitch_classes": [HUGE], "root": HUGE}}}), ""),
        (ask({"bars": [HUGE]}), "tracks[0].bars"),
        (ask({"bar_controls": {HUGE: {}}}), "tracks[0].bar_controls"),
        (
            ask({"controls": {"rhythm_mask": {"positions": [{"pos": 0}, {"pos": HUGE}]}}}),
            "tracks[0].controls.rhythm_mask.positions",
        ),
    ],
    ids=["settings", "pitch_mask", "bars", "bar_controls", "rhythm_mask"],
)
def test_the_work_does_not_depend_on_the_size_of_numbers(asked, refused):
    assert problem(asked).partition(" ")[0] == refused


def test_nor_on_the_size_of_numbers_in_the_score():
    score = song()
    score.tracks[0].bars[0].notes = [Note(60, 90, HUGE, HUGE)]
    assert len(warnings(ask(), score)) == 1
