"""Which attempts are accepted, what is tried next, and what candidates share."""

import pytest

from midigpt import Score
from midigpt.errors import GenerationError
from midigpt.inference import GenerationRequest
from tests.contract.engines import engine, notes
from tests.contract.vectors import needs_vectors, rows

pytestmark = needs_vectors

BY_KIND = {
    single: [row for row in rows("inference/outcomes.jsonl") if ("candidates" not in row) is single]
    for single in (True, False)
}
REASONS = {"novelty_check": "novelty_check", "no model_dim": "no window fits"}


def make_session(row):
    score = Score.from_dict(row["score"])
    return engine(row["checkpoint"]).session(score, GenerationRequest.from_dict(row["request"]))


@pytest.mark.parametrize("row", BY_KIND[True], ids=lambda row: row["id"])
def test_outcome(row):
    session = make_session(row)
    attempts = []
    session.attempt_sink = lambda step, ended: attempts.append(
        [
            list(step.window),
            ended.place[0] + ended.place[2],
            ended.temperature,
            ended.status.value,
        ]
    )
    outcome, reason = "ok", None
    try:
        session.run()
    except GenerationError as error:
        outcome, reason = "RuntimeError", str(error)

    # a step whose prompt leaves no room is never attempted here
    expected = [attempt for attempt in row["attempts"] if attempt[3] != "overflow"]
    assert outcome == row["outcome"]
    assert attempts == expected
    assert session.gen_count == row["gen_count"]
    if reason is not None:
        assert REASONS[row["reason"]] in reason


@pytest.mark.parametrize("row", BY_KIND[False], ids=lambda row: row["id"])
def test_candidates(row):
    session = make_session(row)

    candidates = session.run_variations()

    assert session.gen_count == row["gen_count"]
    assert len(candidates) == len(row["candidates"])
    written = session.generated_bars
    for ours, theirs in zip(candidates, row["candidates"], strict=True):
        assert ours["seed"] == theirs["seed"]
        assert ours["gen_count"] == theirs["gen_count"]
        assert ours["truncated"] == theirs["truncated"]
        assert (ours["error"] is None) == theirs["ok"]
        for track, bars in written.items():
            for bar in bars:
                assert notes(ours["score"].to_dict()["tracks"][track]["bars"][bar]) == notes(
                    theirs["score"]["tracks"][track]["bars"][bar]
                )
