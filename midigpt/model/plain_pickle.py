"""Reading the plain data in a pickle without unpickling it.

:mod:`pickletools` lists a pickle's instructions and executes none. They are followed here as far
as they build dictionaries, lists, tuples, numbers and texts. The names of classes and functions
stay names: nothing is imported, constructed or called because a file says so.
"""

from __future__ import annotations

import pickletools
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"


class StorageRecord(NamedTuple):
    """Where a tensor's bytes are: the class name of their type, and the key of their file."""

    type: str
    key: str


class TensorRecord(NamedTuple):
    """What a tensor is made of; offset and stride count elements."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def read_plain(pickled: bytes) -> object:
    """The data that ``pickled`` describes; objects become dictionaries of their attributes.

    Nothing is checked: the records hold whatever the pickle puts there.

    Raises:
        Exception: damaged or not plain. LookupError, TypeError, ValueError and AttributeError have
            been seen.
    """
    builder = _Builder()
    for opcode, argument, _ in pickletools.genops(pickled):
        builder.follow(opcode.name, argument)
    return builder.stack[-1]


class _Builder:
    """A pickle's stack, with the instructions that build plain data on it."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def follow(self, opcode: str, argument: object) -> None:
        """Carry out one instruction; one that builds no plain data is a LookupError."""
        if opcode in _VALUES:
            self.stack.append(_VALUES[opcode](argument))
        else:
            _ACTIONS[opcode](self, argument)

    def mark(self, _: object) -> None:
        self._marks.append(len(self.stack))

    def put(self, index: int) -> None:
        self._memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self._memo[index])

    def tuple_of(self, size: int) -> None:
        self.stack.append(tuple(self._cut(size)))

    def tuple_from_mark(self, _: object) -> None:
        self.stack.append(tuple(self._cut_to_mark()))

    def append(self, _: object) -> None:
        (item,) = self._cut(1)
        self.stack[-1].append(item)

    def extend_from_mark(self, _: object) -> None:
        items = self._cut_to_mark()
        self.stack[-1].extend(items)

    def set_item(self, _: object) -> None:
        self._update(self._cut(2))

    def set_items_from_mark(self, _: object) -> None:
        self._update(self._cut_to_mark())

    def new_object(self, _: object) -> None:
        self._cut(2)
        self.stack.append({})

    def set_state(self, _: object) -> None:
        (state,) = self._cut(1)
        self.stack[-1].update(**state)

    def storage(self, _: object) -> None:
        ((_kind, type_, key, *_device_and_size),) = self._cut(1)
        if not isinstance(type_, str) or not isinstance(key, str):
            raise TypeError("a storage is named by texts")
        self.stack.append(StorageRecord(type_, key))

    def call(self, _: object) -> None:
        """A call that would rebuild a tensor becomes a record, any other an empty dictionary."""
        function, arguments = self._cut(2)
        is_tensor = function == _REBUILD_TENSOR
        self.stack.append(TensorRecord(*arguments[:4]) if is_tensor else {})

    def _update(self, items: list[Any]) -> None:
        """Add keys and values in turn to the dictionary on top, those with a text as key.

        Attributes have such keys; hashing a key made of tuples in tuples can take forever.
        """
        pairs = zip(items[::2], items[1::2], strict=True)
        self.stack[-1].update({key: value for key, value in pairs if isinstance(key, str)})

    def _cut(self, size: int) -> list[Any]:
        """Take the topmost ``size`` values off the stack."""
        items = self.stack[-size:]
        del self.stack[-size:]
        return items

    def _cut_to_mark(self) -> list[Any]:
        """Take what was pushed since the last mark off the stack."""
        start = self._marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


def _itself(argument: Any) -> Any:  # noqa: ANN401 - whatever an instruction carries
    return argument


_VALUES: dict[str, Callable[[Any], Any]] = {
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "BININT": _itself,
    "BININT1": _itself,
    "BININT2": _itself,
    "LONG1": _itself,
    "BINFLOAT": _itself,
    "BINUNICODE": _itself,
    "GLOBAL": _itself,
}
_ACTIONS: dict[str, Callable[[_Builder, Any], None]] = {
    "PROTO": lambda _builder, _: None,
    "STOP": lambda _builder, _: None,
    "MARK": _Builder.mark,
    "BINPUT": _Builder.put,
    "LONG_BINPUT": _Builder.put,
    "BINGET": _Builder.get,
    "LONG_BINGET": _Builder.get,
    "TUPLE": _Builder.tuple_from_mark,
    "TUPLE1": lambda builder, _: builder.tuple_of(1),
    "TUPLE2": lambda builder, _: builder.tuple_of(2),
    "TUPLE3": lambda builder, _: builder.tuple_of(3),
    "APPEND": _Builder.append,
    "APPENDS": _Builder.extend_from_mark,
    "SETITEM": _Builder.set_item,
    "SETITEMS": _Builder.set_items_from_mark,
    "NEWOBJ": _Builder.new_object,
    "BUILD": _Builder.set_state,
    "BINPERSID": _Builder.storage,
    "REDUCE": _Builder.call,
}
