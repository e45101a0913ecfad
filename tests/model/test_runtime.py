import logging

import pytest
import torch

from midigpt.errors import DeviceError
from midigpt.model import PRECISIONS, PlainDecoder, make_decoders, runtime
from midigpt.model.attending import Stepping
from midigpt.model.capture import Launcher
from midigpt.model.cpu import PackedDecoder
from midigpt.model.graph import GraphDecoder
from midigpt.model.graph_network import GraphNetwork
from midigpt.model.pilot import STRIDE
from midigpt.model.static_cache import Bank

TOKENS = [3, 1, 4, 1, 5]


@pytest.fixture
def network(make_network):
    return make_network(n_embd=32)


@pytest.mark.parametrize("precision", [None, *PRECISIONS])
def test_the_packed_network_runs_on_this_cpu(network, precision):
    expected = PlainDecoder(network).prefill(0, TOKENS)
    one, two = make_decoders(network, precision, 2)
    assert isinstance(one, PackedDecoder)
    assert one.precision == two.precision == (precision or "fp16")
    assert torch.equal(one.prefill(0, TOKENS), two.prefill(0, TOKENS))
    torch.testing.assert_close(one.prefill(0, TOKENS), expected, atol=0.3, rtol=0)


def test_decoders_share_weights_and_nothing_else(network):
    one, two = make_decoders(network, count=2)
    assert one._network is two._network
    logits = one.prefill(0, TOKENS)
    two.prefill(0, [9, *TOKENS])
    assert torch.equal(one.prefill(0, TOKENS), logits)
    assert (one.reused_tokens, two.reused_tokens) == (5, 0)


def lacks_kernels(monkeypatch):
    monkeypatch.setattr(runtime, "can_pack", lambda _: False)


def mixes_rows(monkeypatch):
    """Whatever a kernel might do: here the second row of a step feels the first."""
    attend = Stepping.__call__

    def mixed(self, layer, qkv):
        found = attend(self, layer, qkv)
        found[1:] += 1e-6 * found[:-1]
        return found

    monkeypatch.setattr(Stepping, "__call__", mixed)


@pytest.mark.parametrize(
    ("simulate", "text"),
    [
        (lacks_kernels, "with this CPU and build of PyTorch"),
        (mixes_rows, "with this CPU: a row's numbers are wrong, or depend on the rows beside it"),
    ],
)
def test_where_the_cpu_is_not_up_to_it_the_plain_network_runs(
    network, monkeypatch, caplog, simulate, text
):
    simulate(monkeypatch)
    caplog.set_level(logging.INFO, "midigpt")
    for precision in (None, "fp32"):
        (decoder,) = make_decoders(network, precision)
        assert isinstance(decoder, PlainDecoder)
        assert decoder.precision == "fp32"
    assert text in caplog.text
    for precision in ("fp16", "int8"):
        with pytest.raises(DeviceError, match=f"{precision}.* is not to be had {text}"):
            make_decoders(network, precision)


def test_widths_that_leave_a_rest(make_network):
    (decoder,) = make_decoders(make_network(n_embd=48))
    assert isinstance(decoder, PlainDecoder)
    with pytest.raises(DeviceError, match="for a network of width 48, only for multiples of 32"):
        make_decoders(make_network(n_embd=48), "fp16")


def test_bf16_is_for_cuda(network):
    message = "precision 'bf16' is not to be had on a CPU; give fp32, fp16, int8 or none"
    with pytest.raises(DeviceError, match=message):
        make_decoders(network, "bf16")


@pytest.fixture
def graphs_anywhere(monkeypatch):
    """As on CUDA, but for the capture."""
    monkeypatch.setattr(runtime, "GRAPH_DEVICES", {"cpu"})


@pytest.mark.usefixtures("graphs_anywhere")
@pytest.mark.parametrize("precision", [None, "bf16", "fp32"])
def test_graphs_run_on_cuda(network, precision):
    expected = PlainDecoder(network).prefill(0, TOKENS)
    one, two = make_decoders(network, precision, 2)
    assert isinstance(one, GraphDecoder)
    assert one.precision == two.precision == (precision or "bf16")
    assert one.stride == two.stride == STRIDE
    assert one._network is two._network
    logits = one.prefill(0, TOKENS)
    torch.testing.assert_close(logits, expected, atol=0.2, rtol=0)
    two.prefill(0, [9, *TOKENS])
    assert torch.equal(one.prefill(0, TOKENS), logits)


@pytest.mark.usefixtures("graphs_anywhere")
def test_where_graphs_cannot_be_captured_the_plain_network_runs(network, monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Launcher, "prepared", fails)
    (decoder,) = make_decoders(network)
    assert isinstance(decoder, PlainDecoder)
    assert "on this device: operation not permitted" in caplog.text
    with pytest.raises(DeviceError, match=r"'bf16' is not to be had on this device: .*; give fp32"):
        make_decoders(network, "bf16")


@pytest.mark.usefixtures("graphs_anywhere")
def test_where_graphs_give_wrong_numbers_the_plain_network_runs(network, monkeypatch, caplog):
    monkeypatch.setattr(GraphNetwork, "logits", lambda _, hidden: hidden[:, :32] * 9)
    (decoder,) = make_decoders(network)
    assert isinstance(decoder, PlainDecoder)
    assert "on this device: a row's numbers are wrong" in caplog.text


def wrong_numbers(walk, *args):
    return walk(*args) * (1 + 1e-6)


def wrong_draws(walk, *args):
    log = walk(*args).clone()
    log[..., -1] = 1
    return log


def no_capture(*_):
    raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.usefixtures("graphs_anywhere")
@pytest.mark.parametrize(
    ("simulate", "text"),
    [
        (wrong_numbers, "numbers or draws of its own are wrong"),
        (wrong_draws, "numbers or draws of its own are wrong"),
        (no_capture, "operation not permitted"),
    ],
)
def test_where_walks_fail_every_token_is_told(network, monkeypatch, caplog, simulate, text):
    walk = Bank.walk
    monkeypatch.setattr(Bank, "walk", lambda *args: simulate(walk, *args))
    decoders = make_decoders(network, count=2)
    assert all(isinstance(decoder, GraphDecoder) for decoder in decoders)
    assert [decoder.stride for decoder in decoders] == [0, 0]
    assert text in caplog.text


@pytest.mark.usefixtures("graphs_anywhere")
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_graphs_have_no_packed_weights(network, precision):
    with pytest.raises(DeviceError, match=f"{precision}.* on cpu; give bf16, fp32 or none"):
        make_decoders(network, precision)


@pytest.mark.parametrize(
    ("capability", "precision"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")]
)
def test_cuda_devices_without_bf16_hold_fp32(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert runtime._on_graphs(None, torch.device("cuda")) == precision


def test_looking_for_kernels_draws_no_random_numbers(network):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make_decoders(network)
    assert torch.equal(torch.rand(3), expected)
