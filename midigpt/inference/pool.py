"""Decoders that share a network, lent to one run each."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from midigpt.model.decoder import Decoder

_PATIENCE = 0.05
"""Seconds between two looks at whether whoever waits for a decoder still wants it."""


class StoppedWaiting(Exception):  # noqa: N818 - a signal, not an error
    """Told to stop before a decoder was free."""


class DecoderPool:
    """Lends decoders; as many runs go on at a time as there are decoders, the others wait.

    Args:
        decoders: decoders of one network.
    """

    def __init__(self, decoders: Iterable[Decoder]) -> None:
        self._free = list(decoders)
        self._changed = threading.Condition()

    @contextmanager
    def lend(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Decoder]:
        """A decoder that nobody else uses meanwhile; waits for one that is free.

        Args:
            stop: asked while waiting; True ends the wait.

        Raises:
            StoppedWaiting: ``stop`` did.
        """
        with self._changed:
            while not self._free:
                if stop():
                    raise StoppedWaiting
                self._changed.wait(_PATIENCE)
            # the last one to come back goes out first: it holds the prompt of the latest music
            decoder = self._free.pop()
        try:
            yield decoder
        finally:
            with self._changed:
                self._free.append(decoder)
                self._changed.notify()
