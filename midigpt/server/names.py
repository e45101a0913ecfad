"""Names that stand in addresses: the ids of requests and of models."""

from __future__ import annotations

import re

NAME_RULE = "1 to 128 characters of A-Z a-z 0-9 . _ : ~ -, and not . or .."
NAME_PATTERN = r"^[A-Za-z0-9._:~-]{1,128}$"
_LONGEST = 128
_NAME = re.compile(NAME_PATTERN)
_FOREIGN = re.compile(r"[^A-Za-z0-9._:~-]+")


def is_name(value: object) -> bool:
    """Whether this may be an id: see :data:`NAME_RULE`."""
    return (
        isinstance(value, str) and _NAME.fullmatch(value) is not None and value not in {".", ".."}
    )


def as_name(text: str) -> str:
    """An id as close to a text as can be."""
    name = _FOREIGN.sub("_", text)[:_LONGEST]
    return name if is_name(name) else "model"
