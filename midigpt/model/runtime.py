"""Which decoder runs a network: the packed one where it may, the plain one elsewhere."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from midigpt.errors import DeviceError
from midigpt.model.cpu import PackedDecoder
from midigpt.model.decoder import PlainDecoder
from midigpt.model.gpt2 import GPT2LMHeadModel
from midigpt.model.packed import WIDTH_STEP, PackedNetwork
from midigpt.model.packing import can_pack

if TYPE_CHECKING:
    from midigpt.model.decoder import Decoder
    from midigpt.model.gpt2 import GPT2Config
    from midigpt.model.packing import Precision

logger = logging.getLogger("midigpt")

DEFAULT: Precision = "fp16"
"""How the weights are held on a CPU if nobody says."""

_TRIAL = [(7 * i * i + 3) % 31 for i in range(70)]


def make_decoders(
    model: GPT2LMHeadModel, precision: Precision | None = None, count: int = 1
) -> list[Decoder]:
    """Decoders that share the weights of ``model``, which is not to be used any more.

    Args:
        model: the network, on its device.
        precision: how weights are held; None: ``fp16`` where it is to be had, else ``fp32``.
        count: how many decoders.

    Raises:
        DeviceError: the precision asked for is not to be had on this device.
    """
    chosen = precision or DEFAULT
    obstacle = _obstacle(model, chosen)
    if obstacle is None:
        network = PackedNetwork(model, chosen)
        return [PackedDecoder(network) for _ in range(count)]
    if precision not in (None, "fp32"):
        raise DeviceError(f"precision {precision!r} is not to be had {obstacle}; give fp32 or none")
    logger.info("the plain network runs: packed weights are not to be had %s", obstacle)
    return [PlainDecoder(model) for _ in range(count)]


def _obstacle(model: GPT2LMHeadModel, precision: Precision) -> str | None:
    """Why the packed decoder cannot run a network; None if it can."""
    device, width = model.lm_head.weight.device, model.config.n_embd
    if device.type != "cpu":
        return f"on {device.type}"
    if width % WIDTH_STEP:
        return f"for a network of width {width}, only for multiples of {WIDTH_STEP}"
    if not can_pack(precision):
        return "with this CPU and build of PyTorch"
    if not rows_agree(model.config, precision):
        return "with this CPU: a row's numbers depend on the rows beside it"
    return None


def rows_agree(config: GPT2Config, precision: Precision) -> bool:
    """Whether a row's numbers are the same alone, among others, and however its prompt was read.

    Tried on one random layer of the network's width: which kernels PyTorch chooses depends on the
    CPU and on nothing that could be looked up.
    """
    size = replace(config, n_layer=1, vocab_size=32, n_positions=128)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PackedNetwork(GPT2LMHeadModel(size).requires_grad_(False), precision)
    alone, together = PackedDecoder(network), PackedDecoder(network)
    together.prefill(0, _TRIAL[:37])
    same = torch.equal(alone.prefill(0, _TRIAL), together.prefill(0, _TRIAL))
    for rows in (2, 5, 9):
        together.fork(0, range(1, rows))
        lone = alone.step([0], [rows])[0]
        logits = together.step(range(rows), [rows] * rows)
        same &= all(torch.equal(row, lone) for row in logits)
    return same
