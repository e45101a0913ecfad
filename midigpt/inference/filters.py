"""Cutting a distribution down before the draw.

``top_k`` and ``top_p`` drop unlikely tokens; ``mask_k`` and ``mask_p`` drop likely ones, to steer
away from the obvious note, but never the tokens that give the music its structure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from midigpt.model.sampling import Limits, cut
from midigpt.tokens.grammar_types import NOTE_TYPES, POSITION

if TYPE_CHECKING:
    from typing_extensions import Self

    from midigpt.inference.request import InferenceConfig
    from midigpt.tokens import Vocabulary

DROPPABLE_TYPES = NOTE_TYPES | {POSITION, "NoteDuration"}
"""What ``mask_k`` and ``mask_p`` may drop: everything a note is made of."""


@dataclass(frozen=True, eq=False)
class Filters:
    """The sampling filters of a request.

    Attributes:
        droppable: which tokens the masks may drop; bool, (V,).
        top_k: keep only this many of the likeliest tokens; 0 keeps all.
        top_p: keep the likeliest tokens that together reach this probability; 1 keeps all.
        mask_k: drop what is droppable among this many of the likeliest; 0 drops none.
        mask_p: the same among the likeliest that together reach this probability.
    """

    droppable: Tensor
    top_k: int = 0
    top_p: float = 1.0
    mask_k: int = 0
    mask_p: float = 0.0

    @classmethod
    def of(cls, config: InferenceConfig, vocabulary: Vocabulary) -> Self:
        """Those of a request."""
        droppable = torch.zeros(len(vocabulary), dtype=torch.bool)
        for type_ in DROPPABLE_TYPES:
            droppable[vocabulary.span(type_)] = True
        most = len(vocabulary)
        top_k, mask_k = min(config.top_k, most), min(config.mask_k, most)
        return cls(droppable, top_k, config.top_p, mask_k, config.mask_p)

    def apply(self, probs: Tensor) -> Tensor:
        """The filtered distribution of each row; rows never influence each other.

        Of equally likely tokens the one with the lower id counts as the likelier. Where nothing
        would be left, the row stays as it is.

        Args:
            probs: float32, (B, V).
        """
        if self.top_k == 0 and self.top_p >= 1 and self.mask_k == 0 and self.mask_p == 0:
            return probs
        return cut(probs, self.droppable, self.limits)

    @property
    def limits(self) -> Limits:
        """The same as numbers to compare with."""
        top_p = self.top_p if self.top_p < 1 else math.inf
        return Limits(self.top_k or math.inf, top_p, self.mask_k, self.mask_p)
