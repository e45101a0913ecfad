"""The vocabulary: token ids, the types they belong to and the values they carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from midigpt.errors import EncoderConfigError, EncodingError
from midigpt.tokens.types import ALIASES, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

    from midigpt.tokens.config import EncoderConfig


class Domain(NamedTuple):
    """The ids of one type: ``size`` of them from ``first`` on, for the values 0, 1, 2, ..."""

    type: str
    first: int
    size: int


class Vocabulary:
    """Token types laid end to end.

    Types may be looked up by their aliases too; the vocabulary itself answers in canonical names.

    Args:
        domains: type (in any spelling) and number of values, in order.

    Attributes:
        domains: the types in order.
        types: per token id, its type.
        values: per token id, its value.

    Raises:
        EncoderConfigError: an unknown type, or one that occurs twice.
    """

    def __init__(self, domains: Iterable[tuple[str, int]]) -> None:
        self._by_type: dict[str, Domain] = {}
        first = 0
        for name, size in domains:
            type_ = canonical(name)
            if type_ in self._by_type:
                raise EncoderConfigError(f"token_domains: the type {type_} occurs twice")
            self._by_type[type_] = Domain(type_, first, size)
            first += size
        self.domains = tuple(self._by_type.values())
        self.types = tuple(domain.type for domain in self.domains for _ in range(domain.size))
        self.values = tuple(value for domain in self.domains for value in range(domain.size))
        for alias, type_ in ALIASES.items():
            if type_ in self._by_type:
                self._by_type[alias] = self._by_type[type_]

    @classmethod
    def from_config(
        cls, config: EncoderConfig, attribute_domains: Iterable[tuple[str, int]] = ()
    ) -> Self:
        """The vocabulary of an encoder.

        Args:
            config: its config.
            attribute_domains: type and size of each attribute; types that the config does not
                list are appended.

        Raises:
            EncoderConfigError: an unknown type, or an attribute whose size differs from the
                config's.
        """
        sizes = dict(config.domains)
        for name, size in attribute_domains:
            type_ = canonical(name)
            # a distribution of durations is told in the tokens of durations
            if sizes.setdefault(type_, size) != size and type_ != "NoteDuration":
                raise EncoderConfigError(
                    f"token_domains: {type_} has {sizes[type_]} values, its attribute has {size}"
                )
        return cls(sizes.items())

    def __len__(self) -> int:
        return len(self.types)

    def __contains__(self, type_: object) -> bool:
        return type_ in self._by_type

    def offset(self, type_: str) -> int:
        """The first id of a type.

        Raises:
            KeyError: the vocabulary does not have that type.
        """
        return self._by_type[type_].first

    def domain_size(self, type_: str) -> int:
        """How many values a type has; 0 if the vocabulary does not have it."""
        return self._by_type[type_].size if type_ in self._by_type else 0

    def span(self, type_: str) -> slice:
        """The ids of a type; empty if the vocabulary does not have it."""
        if type_ not in self._by_type:
            return slice(0, 0)
        _, first, size = self._by_type[type_]
        return slice(first, first + size)

    def encode(self, type_: str, value: int) -> int:
        """The id of a token.

        Raises:
            EncodingError: the type does not have that value, or the vocabulary not that type.
        """
        size = self.domain_size(type_)
        if not 0 <= value < size:
            raise EncodingError(f"{type_}:{value} is no token: {type_} has {size} values")
        return self._by_type[type_].first + value

    def decode(self, token: int) -> tuple[str, int]:
        """The type and value of a token.

        Raises:
            EncodingError: the vocabulary has no such id.
        """
        if not 0 <= token < len(self.types):
            raise EncodingError(f"token {token} is outside the vocabulary of {len(self.types)}")
        return self.types[token], self.values[token]
