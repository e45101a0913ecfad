"""Which requests are accepted, in which form, and how the others are refused."""

from copy import deepcopy
from functools import cache

import pytest

from midigpt import Bar, Score, Track
from midigpt.attributes import AttributeAnalyzer
from midigpt.errors import RequestValidationError
from midigpt.inference.request import MASK_MODES, GenerationRequest
from midigpt.inference.validate import check_request
from midigpt.tokens import EncoderConfig
from tests.contract.vectors import load, needs_vectors, rows

pytestmark = needs_vectors

MALFORMED = (AttributeError, KeyError, TypeError, ValueError)


@cache
def checkpoint(encoder):
    config = EncoderConfig.parse(load("inference/encoders.json")[encoder])
    return config, AttributeAnalyzer.from_config(config)


@cache
def scores():
    return load("inference/validation_scores.json")


def settle(request, score, encoder):
    """The request in settled form; neither it nor the score may have changed."""
    before = deepcopy((request, score))
    try:
        settled, _ = check_request(request, score, *checkpoint(encoder))
    finally:
        assert (request, score) == before
    return settled


def normalised(request, like):
    """What the vectors record of a settled request."""
    bars = {str(prompt.id): prompt.bars for prompt in request.tracks}
    return {name: bars if name == "bars" else getattr(request.config, name) for name in like}


def is_refused_here(row):
    """Accepted by the reference, with no effect or the wrong one, or against the HTTP contract."""
    mode = row["request"].get("config", {}).get("mask_mode", "auto")
    prompts = row["request"]["tracks"]
    bar_controls = {
        name
        for prompt in prompts
        for controls in prompt.get("bar_controls", {}).values()
        for name in controls
    }
    masks = [prompt.get("controls", {}).get("pitch_mask", {}) for prompt in prompts]
    return (
        mode not in MASK_MODES
        or bar_controls & {"pitch_mask", "rhythm_mask", "remix"}
        or any(mask.get("shape", {}).get("std", 1) == 0 for mask in masks)
    )


def expected_error(row):
    if row["error"] == "RequestValidationError":
        return RequestValidationError
    if row["error"] == "KeyError" and row["stage"] == "from_dict":
        return KeyError
    return MALFORMED


@pytest.mark.parametrize("row", rows("inference/validation.jsonl"), ids=lambda row: row["id"])
def test_validation(row):
    score = Score.from_dict(scores()[row["score"]])
    if row["ok"] and not is_refused_here(row):
        request = GenerationRequest.from_dict(row["request"])
        settled = settle(request, score, row["encoder"])
        assert normalised(settled, row["normalised"]) == row["normalised"]
        return
    with pytest.raises(RequestValidationError if row["ok"] else expected_error(row)) as caught:
        settle(GenerationRequest.from_dict(row["request"]), score, row["encoder"])
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("row", rows("inference/plan_requests.jsonl"), ids=lambda row: row["id"])
def test_requests_to_be_planned(row):
    bars = [Bar() for _ in range(row["n_bars"])]
    score = Score([Track(bars) for _ in range(row["n_tracks"])])
    settled = settle(GenerationRequest.from_dict(row["request"]), score, row["encoder"])
    assert normalised(settled, row["normalised"]) == row["normalised"]
    targets = {str(p.id): sorted({*p.bars}) for p in settled.tracks if p.bars}
    if settled.config.infill_probability == 1:
        assert row["generated_bars"] == targets
    else:
        assert all({*bars} <= {*targets[id_]} for id_, bars in row["generated_bars"].items())
