"""What pydantic found wrong with a body, in the words of the interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midigpt.inference.reading import meant, named, shown
from midigpt.score import Note
from midigpt.server.errors import ApiError, invalid, malformed

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_ACCEPTED = {
    "bool_type": "true or false",
    "dataclass_type": "an object",
    "dict_type": "an object",
    "finite_number": "a finite number",
    "float_type": "a finite number",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "int_type": "an integer",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "string_type": "a string",
    "string_unicode": "a string of Unicode characters",
}
_RANGES = {"choice", "greater_than", "greater_than_equal", "less_than", "less_than_equal"}
_NOTE = tuple(Note.__dataclass_fields__)


def from_validation(error: ValidationError, body: object) -> ApiError:
    """The first wrong type (400), or else the first impossible value (422)."""
    found: dict[str, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        found.setdefault(_path(details, body), []).append(details)
    for path, alternatives in found.items():
        if not any(details["type"] in _RANGES for details in alternatives):
            return malformed(f"{path} {_complaint(alternatives)}", path)
    path, alternatives = next(iter(found.items()))
    in_range = [details for details in alternatives if details["type"] in _RANGES]
    return invalid(f"{path} {_complaint(in_range)}", path)


def kind(value: object) -> str:
    """What JSON calls such a value."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):  # reading JSON made ints of all the others
        return "a number with a fraction"
    if isinstance(value, int):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"


def _path(details: ErrorDetails, body: Any) -> str:  # noqa: ANN401 - anything that JSON holds
    """Where the error is; what pydantic adds below a value (branches of a union) is left out."""
    path = ""
    for part in details["loc"]:
        if isinstance(part, int) and isinstance(body, list):
            path, body = f"{path}[{part}]", body[part]
        elif isinstance(body, dict) and (part in body or details["type"] == "missing"):
            path, body = f"{path}.{named(part)}", body.get(part)
        else:
            break
    return path.removeprefix(".")


def _complaint(alternatives: list[ErrorDetails]) -> str:
    """What is wrong with one member, given everything it was tried as."""
    first = alternatives[0]
    if first["type"] == "missing":
        return "is missing"
    if first["type"] == "unexpected_keyword_argument":
        hint = meant(first["loc"][-1], _NOTE)
        return f"is no member of a note; a note has {', '.join(_NOTE)}{hint}"
    if _accepted(first) == first["msg"]:  # one of our own checks, whose message says it all
        return first["msg"]
    accepted = " or ".join(dict.fromkeys(map(_accepted, alternatives)))
    got = shown(first["input"]) if first["type"] in _RANGES else kind(first["input"])
    return f"must be {accepted}, got {got}"


def _accepted(details: ErrorDetails) -> str:
    phrase = _ACCEPTED.get(details["type"], details["msg"])
    return phrase.format_map(details.get("ctx", {})).replace("'", '"')
