"""The recorded plans; those of whole requests as far as the planner alone decides them."""

import pytest

from midigpt.inference.plan import plan, shuffled, summary
from tests.contract.vectors import needs_vectors, rows

pytestmark = needs_vectors


@pytest.mark.parametrize("row", rows("inference/plan_cells.jsonl"), ids=lambda row: row["id"])
def test_cells(row):
    steps = plan(
        [
            [cell == "X" and not ignored for cell in track]
            for track, ignored in zip(row["selected"], row["ignore"], strict=True)
        ],
        row["autoregressive"],
        window=row["model_dim"],
        bars_per_step=row["bars_per_step"],
        tracks_per_step=row["tracks_per_step"],
        ar_overlap=row["ar_overlap"],
        min_overlap=row["min_overlap_bars"],
    )
    assert summary(steps, range(len(row["selected"]))) == row["steps"]


@pytest.mark.parametrize("row", rows("inference/plan_requests.jsonl"), ids=lambda row: row["id"])
def test_requests(row):
    config = row["request"]["config"] | row["normalised"]
    prompts = sorted(row["request"]["tracks"], key=lambda prompt: prompt["id"])
    prompts = [prompt for prompt in prompts if not prompt.get("ignore")]
    ids = [prompt["id"] for prompt in prompts]
    chosen = [row["generated_bars"].get(str(id_), []) for id_ in ids]
    steps = plan(
        [[bar in bars for bar in range(row["n_bars"])] for bars in chosen],
        [prompt.get("autoregressive", False) for prompt in prompts],
        window=config["model_dim"],
        bars_per_step=config["bars_per_step"],
        tracks_per_step=config["tracks_per_step"],
        ar_overlap=config.get("ar_overlap", 0.5),
        min_overlap=config.get("min_overlap_bars", 2),
    )
    if config.get("shuffle"):
        steps = shuffled(steps, config["seed"])
    assert summary(steps, ids) == row["steps"]
