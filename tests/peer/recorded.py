"""A step of a generation as we took it, with what the case says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from midigpt.tokens.types import canonical
from tests.peer.abilities import encoder_of, language_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midigpt.inference.language import Language
    from midigpt.tokens import Vocabulary
    from tests.peer.draw import Case

    Answer = dict[str, Any]


@dataclass(frozen=True)
class RecordedStep:
    """A step of a generation as we took it.

    Attributes:
        case: the case.
        answer: our answer to it.
        number: index of the step.
    """

    case: dict[str, Any]
    answer: dict[str, Any]
    number: int

    @property
    def record(self) -> Answer:
        """The step in the answer."""
        return self.answer["steps"][self.number]

    @property
    def targets(self) -> list[tuple[int, int]]:
        """The (track id, bar) cells it writes, in the order in which fills are written."""
        return [(track, bar) for track, bar in self.record["targets"]]

    @property
    def language(self) -> Language:
        """Our tokenizer, analyzer and grammar."""
        return language_of(encoder_of(self.case["checkpoint"]))

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the checkpoint."""
        return self.language.tokenizer.vocabulary

    @property
    def prompts(self) -> dict[int, Case]:
        """The track prompts that take part, by id."""
        asked = self.case["request"]["tracks"]
        return {prompt["id"]: prompt for prompt in asked if not prompt.get("ignore")}

    @property
    def bars_of_score(self) -> list[Case]:
        """All bars of the score."""
        return [bar for track in self.case["score"]["tracks"] for bar in track["bars"]]

    def words(self, tokens: Sequence[int]) -> list[tuple[str, int]]:
        """(type, value) of each token."""
        return [(self.vocabulary.types[token], self.vocabulary.values[token]) for token in tokens]

    def level_type(self, name: str) -> str:
        """The token type of an attribute."""
        return canonical(self.language.analyzer[name].token_type)

    def later(self) -> int:
        """How many bars still to be written may have to share a window with this step's."""
        start, end = self.record["window"]
        bars = [bar for _, bar in self.targets]
        reach = range(max(bars) - (end - start) + 1, min(bars) + (end - start))
        done = {tuple(c) for s in self.answer["steps"][: self.number + 1] for c in s["targets"]}
        written = self.answer["generated_bars"].items()
        rest = {(int(track), bar) for track, found in written for bar in found} - done
        return sum(bar in reach for _, bar in rest)
