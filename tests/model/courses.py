"""How rows go on by themselves in tests of decoders: by one rule."""

from typing import NamedTuple

import numpy as np
import torch

from midigpt.model.pilot import STRIDE, Course
from midigpt.model.sampling import Limits

VOCABULARY = 50


class Chart(NamedTuple):
    """After an even token comes an odd one, and the other way round."""

    moves: np.ndarray = np.tile(np.arange(VOCABULARY) % 2, (2, 1))
    allowed: np.ndarray = np.stack([np.arange(VOCABULARY) % 2 == 1, np.arange(VOCABULARY) % 2 == 0])
    windowed: np.ndarray = np.zeros(2, dtype=np.bool_)
    positions: np.ndarray = np.full(VOCABULARY, -1)
    lows: np.ndarray = np.full(VOCABULARY, -1)
    highs: np.ndarray = np.full(VOCABULARY, -1)


CHART = Chart()
EVERYTHING = torch.ones(VOCABULARY, dtype=torch.bool)


def course(token, draw, count=STRIDE - 1, temperature=1.0):
    """After ``token``, by random numbers of ``draw``."""
    return Course(
        CHART,
        token % 2,
        (0, 0),
        EVERYTHING,
        None,
        temperature,
        Limits(float("inf"), float("inf"), 0, 0.0),
        EVERYTHING,
        [draw.random() for _ in range(count)],
    )
