"""What a checkpoint's encoder defines, ready for use by every session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midigpt.attributes import AttributeAnalyzer
from midigpt.inference.rules import Ends
from midigpt.tokens import EncoderConfig, Tokenizer
from midigpt.tokens.grammar import GrammarTable
from midigpt.tokens.types import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


@dataclass(frozen=True)
class Language:
    """The words of a model and the rules for putting them together.

    Attributes:
        tokenizer: scores as tokens and back.
        analyzer: measures the attributes the encoder has tokens for.
        grammar: which token may follow which.
        ends: the tokens that open and close what is written.
    """

    tokenizer: Tokenizer
    analyzer: AttributeAnalyzer
    grammar: GrammarTable
    ends: Ends

    @classmethod
    def of(
        cls, encoder_config: Mapping[str, Any], analyzer: AttributeAnalyzer | None = None
    ) -> Language:
        """That of an encoder config, as stored with a checkpoint.

        Raises:
            EncoderConfigError: the config makes no sense.
        """
        config = EncoderConfig.parse(encoder_config)
        analyzer = analyzer or AttributeAnalyzer.from_config(config)
        tokenizer = Tokenizer(config, analyzer)
        vocabulary = tokenizer.vocabulary
        kinds = {canonical(a.token_type): a.track_type for a in analyzer.attributes}
        grammar = GrammarTable(config, vocabulary, kinds)
        return cls(tokenizer, analyzer, grammar, Ends.of(vocabulary))
