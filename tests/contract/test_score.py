"""Scores from and to dictionaries, and at other resolutions."""

import pytest

from midigpt import Score
from tests.contract.vectors import needs_vectors, rows, unpack

pytestmark = needs_vectors

ROWS = rows("score.jsonl")


def only(key):
    return [pytest.param(row, id=str(n)) for n, row in enumerate(ROWS) if key in row]


@pytest.mark.parametrize("row", only("to_dict"))
def test_dictionary_form(row):
    written = Score.from_dict(row["from_dict"]).to_dict()
    assert written == row["to_dict"]
    assert list(written) == list(row["to_dict"])


@pytest.mark.parametrize("row", only("error"))
def test_refused_dictionary(row):
    with pytest.raises(TypeError) as caught:
        Score.from_dict(row["from_dict"])
    assert caught.type.__name__ == row["error"]["type"]


@pytest.mark.parametrize("row", only("resample"))
def test_resample(row):
    assert unpack(row["score"]).resample(row["resample"]) == unpack(row["result"])
