"""The recorded sampling filters, each also among other rows."""

import pytest
import torch

from midigpt.inference.filters import Filters
from tests.contract.vectors import needs_vectors, rows

pytestmark = needs_vectors


@pytest.mark.parametrize("row", rows("inference/filters.jsonl"), ids=lambda row: row["id"])
def test_filters(row):
    droppable = torch.tensor(row["droppable"])
    filters = Filters(droppable, row["top_k"], row["top_p"], row["mask_k"], row["mask_p"])
    probs = torch.tensor([row["probs"]])

    alone = filters.apply(probs)

    assert alone.tolist()[0] == pytest.approx(row["result"], abs=1e-5)
    others = torch.softmax(torch.randn(6, len(row["probs"])), dim=1)
    among = filters.apply(torch.cat([others[:2], probs, others[2:]]))
    assert torch.equal(among[2:3], alone)
