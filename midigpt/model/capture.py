"""All that is particular to CUDA in decoding: captured graphs, pinned memory, waiting.

A captured graph is a list of kernels with their addresses, which the device goes through by itself:
a step of a small network takes longer to ask for, kernel by kernel, than to compute.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

WARM_UPS = 3
"""Calls before a capture, in which libraries choose kernels and take the memory they need."""

_CAPTURING = Lock()
"""To begin a capture means to wait for the whole device, which no other capture survives."""


class Launcher:
    """Prepares functions for being run many times: captured on CUDA, as they are elsewhere.

    Args:
        device: where the tensors of the functions lie.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        if self._cuda:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # PyTorch's own
            self._pool = torch.cuda.graph_pool_handle()

    def prepared(self, function: Callable[[], None]) -> Callable[[], None]:
        """What does the same as ``function`` on the memory that it uses now.

        On CUDA ``function`` is run a few times and captured: it must do the same when it is run
        again, read and write only tensors that stay where they are, and never wait for the device.
        All that are prepared by one launcher share the memory of intermediate results, so only one
        of them may run at a time.
        """
        if not self._cuda:
            return function
        graph = torch.cuda.CUDAGraph()
        with _CAPTURING, torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):
                    function()
            torch.cuda.current_stream().wait_stream(self._stream)
            # other threads may go on: what they do must not end this capture
            with torch.cuda.graph(graph, self._pool, self._stream, "thread_local"):
                function()
        replay: Callable[[], None] = graph.replay
        return replay

    def host(self, *shape: int) -> Tensor:
        """Memory on the CPU, float32, into which the device copies while nobody waits."""
        return torch.empty(shape, pin_memory=self._cuda)

    def wait(self) -> None:
        """Return when all copies have arrived."""
        if self._cuda:
            torch.cuda.current_stream(self._device).synchronize()
