"""The recorded legal sets, with the limits and fixed values of requests."""

from functools import cache

import numpy as np
import pytest

from midigpt.attributes import AttributeAnalyzer
from midigpt.inference.constraints import (
    BarValueConstraint,
    DensityCap,
    PolyphonyCap,
    ValueConstraint,
)
from midigpt.tokens import EncoderConfig, Vocabulary
from midigpt.tokens.grammar import GrammarTable
from tests.contract.vectors import FOLDER, load, needs_vectors, rows

pytestmark = needs_vectors


def streams():
    for path in sorted(FOLDER.glob("tokenizer/grammar_*.json")):
        recorded = load(f"tokenizer/{path.name}")
        for index, case in enumerate(recorded["cases"]):
            name = f"{recorded['encoder']}-{index}"
            yield pytest.param(recorded["encoder"], recorded["sets"], case, id=name)


@cache
def table(folder, encoder):
    """Grammar and vocabulary of one of the recorded encoders."""
    if folder == "inference":
        found = load("inference/encoders.json")[encoder]
    elif encoder.startswith("v_"):
        found = load("tokenizer/variants.json")[encoder]
    else:
        found = load(f"encoders/{encoder}.json")
    config = EncoderConfig.parse(found)
    attributes = AttributeAnalyzer.from_config(config).token_domain_specs()
    vocabulary = Vocabulary.from_config(config, attributes)
    return GrammarTable(config, vocabulary), vocabulary


def runs(mask):
    """The ranges [start, end) of what is allowed."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2).tolist()


@pytest.mark.parametrize(("encoder", "sets", "case"), list(streams()))
def test_allowed_sets(encoder, sets, case):
    grammar, vocabulary = table("tokenizer", encoder)
    options = dict(case["options"])
    autoregressive = options.pop("autoregressive_mode", False)
    state = grammar.rules(autoregressive=autoregressive, **options).start()
    mask = np.empty(len(vocabulary), dtype=np.bool_)
    for place, expected in enumerate(case["allowed"]):
        if place:
            state.advance(case["tokens"][place - 1])
        state.mask(mask)
        assert runs(mask) == sets[expected], f"after {place} tokens"


@pytest.mark.parametrize("row", rows("inference/grammar.jsonl"), ids=lambda row: row["id"])
def test_legal_sets(row):
    grammar, vocabulary = table("inference", row["encoder"])
    params = row["params"]
    options = ("require_notes", "exact_bars", "max_tracks", "autoregressive")
    state = grammar.rules(**{name: params[name] for name in options}).start()
    observers = [state, *constraints(vocabulary, params)]
    mask = np.empty(len(vocabulary), dtype=np.bool_)
    read = 0
    for point in row["points"]:
        for token in row["tokens"][read : point["at"]]:
            for observer in observers:
                observer.advance(token)
        read = point["at"]
        state.mask(mask)
        for constraint in observers[1:]:
            constraint.restrict(mask)
        assert runs(mask) == point["legal"], f"after {read} tokens"


def constraints(vocabulary, params):
    if params["polyphony_cap"]:
        yield PolyphonyCap(vocabulary, params["polyphony_cap"])
    if params["density_cap"]:
        yield DensityCap(vocabulary, params["density_cap"])
    for fixed in params["constraints"]:
        type_, value = fixed["type"], fixed["value"]
        if "bar" in fixed:
            yield BarValueConstraint(vocabulary, type_, value, fixed["track"], fixed["bar"])
        else:
            yield ValueConstraint(vocabulary, type_, value)
