"""What steps take of the context: counted bar by bar, it is what their prompts really take."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median

import pytest

from midigpt.inference import GenerationRequest
from midigpt.inference.draft import Draft
from midigpt.inference.language import Language
from midigpt.inference.prompt import build
from midigpt.inference.sizes import Sizes
from midigpt.inference.steps import Splits, window_sizes, window_steps
from midigpt.inference.task import Task
from midigpt.inference.validate import check_request
from tests.inference.drawing import draw_request, draw_score

YELLOW = json.loads((Path(__file__).parents[2] / "models/starter/encoder.json").read_text())
PLAIN = {
    "resolution": 12,
    "supports_infill": True,
    "num_bars_map": [2, 4],
    "time_signatures": ["4/4", "5/8"],
}
LEVELS = [
    {"name": "polyphony_quantile", "params": {"mode": "max", "level": "bar"}},
    {"name": "key_signature"},
]
RICH = PLAIN | {
    "time_signatures": ["4/4", "3/4", "6/8"],
    "attribute_controls": LEVELS,
    "emit_delta_tokens": True,
    "supports_mask_bar_token": True,
    "velocity_sticky": True,
}


def carve(prompt, language, step):
    """The tokens of each part, and of each of its bars, in the prompt as it is written."""
    types = [language.tokenizer.vocabulary.types[token] for token in prompt.tokens]
    starts = [i for i, type_ in enumerate(types) if type_ == "Track"]
    ends = [i + 1 for i, type_ in enumerate(types) if type_ == "TrackEnd"]
    ends += [len(types)] if step.autoregressive else []
    parts, bars = {}, {}
    for part, start, end in zip(prompt.order, starts, ends, strict=True):
        parts[part] = end - start
        last = end - (types[end - 1] == "TrackEnd")
        edges = [*(i for i in range(start, end) if types[i] == "Bar"), last]
        bars[part] = {step.window[0] + i: edges[i + 1] - edges[i] for i in range(len(edges) - 1)}
    return parts, bars


def expected(score, step, bars, task):
    """How many tokens the step will probably write, going by the bars in its prompt."""
    total = 0
    for t, b in step.targets:
        notes = [len(bar.notes) for bar in score.tracks[task.parts[t].id].bars]
        like = {i: n for i, n in bars[t].items() if (t, i) not in step.targets and n > 4}
        heard = sum(notes[i] for i in like)
        drum = task.parts[t].drum
        per_note = sum(n - 4 for n in like.values()) / heard if heard else 2.5 if drum else 3.5
        if notes[b]:
            total += int(notes[b] * per_note) + 4
        elif like:
            total += int(median(like.values()))
        else:
            total += 60 if drum else 40
    return total


@pytest.mark.parametrize("encoder", [YELLOW, PLAIN, RICH], ids=["yellow", "plain", "rich"])
@pytest.mark.parametrize("seed", range(12))
def test_counted_lengths_are_those_of_the_prompts(encoder, seed):
    random, language = Random(seed), Language.of(encoder)
    config = language.tokenizer.config
    score = draw_score(random, config.time_signatures or [(4, 4)])
    asked = draw_request(random, score, language)
    if "MaskBar" in language.tokenizer.vocabulary and random.random() < 0.3:
        asked["config"]["mask_mode"] = "token"
    request = GenerationRequest.from_dict(asked)
    valid, _ = check_request(request, score, config, language.analyzer)
    task = Task.of(valid, score, language.tokenizer)
    sizes, margin = Sizes.of(task, score, language), task.config.budget_margin
    for window in window_sizes(task, language.tokenizer):
        narrow = replace(task, window=window)
        for step in window_steps(narrow, window, Splits(), (), len(score.tracks[0].bars)):
            draft = Draft(narrow, score, language).window(step.window)
            prompt = build(narrow, step, draft, language.tokenizer)
            parts, bars = carve(prompt, language, step)
            measured = sizes.measured(step, margin)
            assert measured.length == len(prompt.tokens)
            assert {t: sizes.part(t, step) for t in parts} == parts
            need = len(prompt.tokens) + margin * expected(score, step, bars, task)
            assert measured.need == need


def test_without_some_parts(language, score, two_tracks):
    sizes = Sizes.of(two_tracks, score, language)
    kept = Sizes.of(two_tracks.without([1], score, language.tokenizer), score, language)
    (step,) = window_steps(two_tracks, 4, Splits(), (), 4)
    assert sizes.without([1]).measured(step, 1) == kept.measured(step, 1)


def test_counting_can_be_stopped(language, score, two_tracks):
    def check():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Sizes.of(two_tracks, score, language, check)


@pytest.fixture
def language():
    return Language.of(RICH)


@pytest.fixture
def two_tracks(score, language):
    tracks = [{"id": 0, "bars": [1]}, {"id": 1, "bars": []}]
    request = GenerationRequest.from_dict({"tracks": tracks, "config": {"model_dim": 4}})
    valid, _ = check_request(request, score, language.tokenizer.config, language.analyzer)
    return Task.of(valid, score, language.tokenizer)
