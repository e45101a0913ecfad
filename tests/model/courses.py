"""How rows go on by themselves in tests of decoders: by one rule."""

import numpy as np

from midigpt.model.pilot import STRIDE, Chart, free_course

VOCABULARY = 50

ODD = np.arange(VOCABULARY) % 2
CHART = Chart(
    moves=np.tile(ODD, (2, 1)),
    allowed=np.stack([ODD == 1, ODD == 0]),
    windowed=np.zeros(2, dtype=np.bool_),
    windows=np.full((3, VOCABULARY), -1),
)
"""After an even token comes an odd one, and the other way round."""


def course(token, draw, count=STRIDE - 1):
    """After ``token``, by random numbers of ``draw``."""
    free = free_course(VOCABULARY, [draw.random() for _ in range(count)])
    return free._replace(chart=CHART, state=token % 2)
