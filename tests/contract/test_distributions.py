"""What may be sampled, and how probably, along recorded generations."""

from itertools import chain

import pytest

from midigpt import Score
from midigpt.inference import GenerationRequest
from midigpt.inference.filters import Filters
from midigpt.model import sampling
from midigpt.tokens.types import BAR_LEVELS, TRACK_LEVELS
from tests.contract.engines import engine
from tests.contract.vectors import needs_vectors, rows

pytestmark = needs_vectors


class Teacher:
    """Draws the recorded tokens, and remembers what could have been drawn instead."""

    def __init__(self, monkeypatch, tokens):
        self.tokens = iter(tokens)
        self.legal = []
        self.final = []
        apply = Filters.apply

        def watched(filters, probs):
            self.legal.append({int(token) for token in probs[0].nonzero()})
            return apply(filters, probs)

        monkeypatch.setattr(Filters, "apply", watched)
        monkeypatch.setattr(sampling, "draw", self.draw)

    def draw(self, probs, _numbers):
        self.final.append(probs[0].clone())
        return [next(self.tokens)]


def tokens_of(runs):
    return {token for start, end in runs for token in range(start, end)}


def strays(row, step, ours, theirs, before):
    """Whether the reference allows more than it should in a continuation (Q-08).

    Attributes twice or on tracks of another kind; positions outside the bar right after one of its
    attributes.
    """
    types = engine(row["checkpoint"]).language.tokenizer.vocabulary.types
    extra = {types[token] for token in theirs - ours}
    attributes = {*TRACK_LEVELS.values(), *BAR_LEVELS.values()}
    repaired = attributes | ({"TimeAbsolutePos"} if types[before] in attributes else set())
    return step["autoregressive"] and ours < theirs and extra <= repaired


@pytest.mark.parametrize("row", rows("inference/distributions.jsonl"), ids=lambda row: row["id"])
def test_distributions(row, monkeypatch):
    score = Score.from_dict(row["score"])
    session = engine(row["checkpoint"]).session(score, GenerationRequest.from_dict(row["request"]))
    recorded = list(chain.from_iterable(step["generated"] for step in row["steps"]))
    teacher = Teacher(monkeypatch, recorded)
    ended = []
    session.attempt_sink = lambda _, attempt: ended.append(attempt)

    session.run()

    assert len(teacher.final) == len(recorded)
    start = 0
    for attempt, step in zip(ended, row["steps"], strict=True):
        assert list(attempt.prompt.tokens) == step["prompt"]
        assert attempt.status.value == step["status"]
        for point in step["points"]:
            at = start + point["at"]
            before = [*step["prompt"], *step["generated"]][len(step["prompt"]) + point["at"] - 1]
            compare(row, step, point, teacher.legal[at], teacher.final[at], before)
        start += len(step["generated"])


def compare(row, step, point, legal, final, before):
    theirs = tokens_of(point["legal"])
    if strays(row, step, legal, theirs, before):
        return
    assert legal == theirs
    assert int((final > 0).sum()) == point["n_kept"]
    for token, probability in point["top"]:
        assert final[token].item() == pytest.approx(probability, abs=1e-4)
