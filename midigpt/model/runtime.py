"""Which decoder runs a network: graphs on CUDA, packed weights on a CPU, else the plain one."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from midigpt.errors import DeviceError
from midigpt.model import sampling
from midigpt.model.cpu import PackedDecoder
from midigpt.model.decoder import PlainDecoder
from midigpt.model.gpt2 import GPT2LMHeadModel
from midigpt.model.graph import GraphDecoder
from midigpt.model.graph_network import DTYPES, GraphNetwork
from midigpt.model.packed import WIDTH_STEP, PackedNetwork
from midigpt.model.packing import PRECISIONS, can_pack
from midigpt.model.pilot import free_course

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from midigpt.model.decoder import Decoder
    from midigpt.model.gpt2 import GPT2Config
    from midigpt.model.packing import Precision

logger = logging.getLogger("midigpt")

DEFAULT: Precision = "fp16"
"""How the weights are held on a CPU if nobody says."""

GRAPH_DEVICES = {"cuda"}
"""Types of devices on which graphs can be captured."""

_BF16_CAPABILITY = (8, 0)
"""From here on CUDA devices compute with bfloat16."""

_WRONG = "a row's numbers are wrong, or depend on the rows beside it"

_WRONG_ALONE = "numbers or draws of its own are wrong"

_TOLERANCE = 0.1
"""For the logits of the trial, which are around 0.5; bf16 is off by 0.002, int8 by 0.01."""

_TRIAL = [(7 * i * i + 3) % 31 for i in range(70)]

_TRIAL_NUMBERS = [[0.1, 0.8, 0.4], [0.7, 0.5, 0.3], [0.0, 0.999, 0.6]]


def make_decoders(
    model: GPT2LMHeadModel, precision: Precision | None = None, count: int = 1
) -> list[Decoder]:
    """Decoders that share the weights of ``model``, which is not to be used any more.

    Args:
        model: the network, on its device.
        precision: how weights are held. None: on CUDA ``bf16``, on a CPU ``fp16``, each where it
            is to be had, else ``fp32``.
        count: how many decoders.

    Raises:
        DeviceError: the precision asked for is not to be had on this device.
    """
    device = model.lm_head.weight.device
    if device.type in GRAPH_DEVICES:
        chosen = _on_graphs(precision, device)
    elif device.type == "cpu" and precision not in (None, *PRECISIONS):
        raise _refusal(precision, "on a CPU", PRECISIONS)
    else:
        chosen = precision or DEFAULT
    obstacle = _obstacle(model.config, chosen, device)
    if obstacle is None:
        return _walking(_fast(model, chosen, count), model.config, device)
    if precision not in (None, "fp32"):
        raise _refusal(precision, obstacle, ["fp32"])
    level = logging.WARNING if device.type in GRAPH_DEVICES else logging.INFO
    logger.log(level, "the plain network runs, for nothing faster is to be had %s", obstacle)
    return [PlainDecoder(model) for _ in range(count)]


def _fast(model: GPT2LMHeadModel, precision: Precision, count: int) -> list[Decoder]:
    """Decoders of the kind for the model's device, with weights in common."""
    if model.lm_head.weight.device.type in GRAPH_DEVICES:
        graphs = GraphNetwork(model, precision)
        return [GraphDecoder(graphs) for _ in range(count)]
    packed = PackedNetwork(model, precision)
    return [PackedDecoder(packed) for _ in range(count)]


def _walking(decoders: list[Decoder], config: GPT2Config, device: torch.device) -> list[Decoder]:
    """The same, whose rows go by themselves only where that works."""
    first = decoders[0]
    trial = partial(walks, config, first.precision, device)
    obstacle = _trouble(trial, _WRONG_ALONE) if first.stride else None
    if obstacle is not None:
        logger.warning("rows are told every token, for they cannot go by themselves %s", obstacle)
        for decoder in decoders:
            decoder.stride = 0
    return decoders


def _on_graphs(precision: Precision | None, device: torch.device) -> Precision:
    """How a CUDA device is to hold the weights."""
    if precision is None:
        old = device.type == "cuda" and torch.cuda.get_device_capability(device) < _BF16_CAPABILITY
        return "fp32" if old else "bf16"
    if precision not in DTYPES:
        raise _refusal(precision, f"on {device.type}", DTYPES)
    return precision


def _refusal(precision: str | None, where: str, others: Iterable[Precision]) -> DeviceError:
    choice = ", ".join(others)
    return DeviceError(f"precision {precision!r} is not to be had {where}; give {choice} or none")


def _obstacle(config: GPT2Config, precision: Precision, device: torch.device) -> str | None:
    """Why no fast decoder can run a network; None if one can."""
    if device.type in GRAPH_DEVICES:
        return _trouble(partial(works, config, precision, device), _WRONG)
    if device.type != "cpu":
        return f"on {device.type}"
    if config.n_embd % WIDTH_STEP:
        return f"for a network of width {config.n_embd}, only for multiples of {WIDTH_STEP}"
    if not can_pack(precision):
        return "with this CPU and build of PyTorch"
    return None if works(config, precision, device) else f"with this CPU: {_WRONG}"


def _trouble(trial: Callable[[], bool], wrong: str) -> str | None:
    """What a trial on a device ran into; None if all went well."""
    try:
        fine = trial()
    except RuntimeError as error:  # whatever a driver, a kernel or a capture may complain of
        return f"on this device: {error}"
    return None if fine else f"on this device: {wrong}"


def works(config: GPT2Config, precision: Precision, device: torch.device) -> bool:
    """Whether numbers are right, and the same alone, among others, and however a prompt was read.

    Tried on one random layer of the network's width: which kernels PyTorch chooses depends on the
    device and on nothing that could be looked up.
    """
    model = _trial_model(replace(config, vocab_size=32), device)
    exact = PlainDecoder(model).logits(_TRIAL)[-1]
    alone, together = _fast(model, precision, 2)
    together.prefill(0, _TRIAL[:37])
    expected = alone.prefill(0, _TRIAL)
    same = torch.equal(expected, together.prefill(0, _TRIAL))
    for rows in (2, 5, 9):
        together.fork(0, range(1, rows))
        lone = alone.step([0], [rows])[0]
        logits = together.step(range(rows), [rows] * rows)
        same &= all(torch.equal(row, lone) for row in logits)
    return same and torch.allclose(expected, exact, rtol=0, atol=_TOLERANCE)


def walks(config: GPT2Config, precision: Precision, device: torch.device) -> bool:
    """Whether rows that go by themselves get the numbers of steps, and draw as they should.

    Tried on one layer with the network's vocabulary.
    """
    walker, stepper = _fast(_trial_model(config, device), precision, 2)
    rows, size = range(len(_TRIAL_NUMBERS)), config.vocab_size
    for each in (walker, stepper):
        each.prefill(0, [token % size for token in _TRIAL])
        each.fork(0, rows[1:])
    courses = [free_course(size, numbers) for numbers in _TRIAL_NUMBERS]
    fine = True
    for row, walked in zip(rows, walker.walk(rows, [0] * len(rows), courses), strict=True):
        steps = [stepper.step([row], [token])[0] for token in (0, *walked.guesses)]
        drawn = sampling.draw(walked.logits[:-1].softmax(dim=1), _TRIAL_NUMBERS[row])
        fine &= torch.equal(walked.logits, torch.stack(steps)) and drawn == walked.guesses
    return fine


def _trial_model(config: GPT2Config, device: torch.device) -> GPT2LMHeadModel:
    """A network of one random layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(replace(config, n_layer=1, n_positions=128))
    return model.requires_grad_(False).to(device)
