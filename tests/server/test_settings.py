from typing import get_args

import pytest
from pydantic import ValidationError

from midigpt import model
from midigpt.server.settings import Precision, Settings


def test_arguments_come_as_text():
    given = Settings(max_queue="3", idle_timeout="2.5", log_level="debug", device="cuda:1")
    assert (given.max_queue, given.idle_timeout) == (3, 2.5)
    assert (given.log_level, given.device) == ("DEBUG", "cuda:1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_queue": 0},
        {"max_parallel": 0},
        {"max_body_bytes": 1023},
        {"idle_timeout": -1},
        {"idle_timeout": "inf"},
        {"max_generation_seconds": "nan"},
        {"log_level": "LOUD"},
        {"device": "abacus"},
        {"device": "cuda:"},
        {"device": "cpu\n"},
        {"precision": "half"},
        {"colour": "blue"},
    ],
)
def test_wrong_values(wrong):
    with pytest.raises(ValidationError) as caught:
        Settings(**wrong)
    assert caught.value.errors()[0]["loc"] == tuple(wrong)


def test_every_precision_can_be_asked_for():
    assert set(get_args(Precision)) == {"auto", *get_args(model.Precision)}
