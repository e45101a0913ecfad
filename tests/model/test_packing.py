import pytest
import torch
from torch.testing import assert_close

from midigpt.model import fixed_point
from midigpt.model.packing import PRECISIONS, can_pack, packed, packed_for_prompts

WIDTHS = [32, 64, 256, 768, 1024]
ROWS = [*range(1, 18), 32, 33, 64, 100, 255, 256]


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_this_machine_has_the_kernels(precision):
    assert can_pack(precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_row_does_not_depend_on_how_many_there_are(precision, width):
    """Bit for bit, for each matrix of a network of that width, and for the head."""
    for n_in, n_out in [(1, 3), (1, 1), (1, 4), (4, 1), (1, 0)]:
        out = n_out * width or 647
        apply = packed(random(n_in * width, out).T, random(out) if n_out else None, precision)
        x = random(256, n_in * width)
        alone = torch.cat([apply(x[row : row + 1]) for row in range(16)])
        for rows in ROWS:
            some = apply(x[:rows].clone())
            assert some.shape == (rows, out)
            assert torch.equal(some[:16], alone[:rows])


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 5e-3)])
def test_products_are_those_of_the_weights(precision, tolerance):
    weight, bias, x = random(64, 96), random(96), random(5, 64)
    for added in (bias, None):
        exact = x @ weight + (0 if added is None else added)
        assert_close(packed(weight.T, added, precision)(x), exact, atol=tolerance, rtol=0)


def test_fp16_rounds_the_weights_and_nothing_else():
    weight, x = random(64, 96), random(5, 64)
    expected = x @ weight.half().float()
    assert_close(packed(weight.T, None, "fp16")(x), expected, atol=1e-5, rtol=0)
    assert (expected - x @ weight).abs().max() > 1e-4


def test_int8_rounds_each_output_and_each_row_to_a_scale_of_its_own():
    weight, bias, x = random(64, 96) * torch.logspace(-3, 3, 96), random(96), random(5, 64)
    x = x * torch.tensor([[1e-3], [1], [10], [1e3], [0]])
    weight_scale, row_scale = weight.abs().amax(dim=0) / 127, x.abs().amax(dim=1) / 127
    integers = (x / row_scale.clamp(min=1e-30)[:, None]).round() @ (weight / weight_scale).round()
    expected = integers * weight_scale * row_scale[:, None] + bias
    assert_close(packed(weight.T, bias, "int8")(x), expected)
    assert_close(packed(torch.zeros(96, 64), bias, "int8")(x), bias.expand(5, -1))


def test_the_head_of_int8_is_fp16():
    weight, x = random(64, 96), random(5, 64)
    assert torch.equal(packed(weight.T, None, "int8")(x), packed(weight.T, None, "fp16")(x))


@pytest.mark.parametrize("error", [RuntimeError, AttributeError])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_build_without_the_kernels(precision, error, monkeypatch):
    """As PyTorch says it: an engine that does not support it, or no such operator."""

    def missing(*_):
        raise error("linear_prepack_fp16 is not supported by this engine")

    monkeypatch.setitem(packed.__globals__["_MAPS"], precision, missing)
    assert not can_pack(precision)


def test_int8_needs_exact_sums(monkeypatch):
    monkeypatch.setattr(fixed_point, "exact", lambda: False)
    assert not can_pack("int8")
    assert can_pack("fp16")


def test_fp16_has_another_map_for_prompts_where_that_is_fast_and_exact(monkeypatch):
    weight, bias, x = random(64, 96), random(96), random(5, 64)
    for fast, exact in [(True, True), (True, False), (False, True)]:
        monkeypatch.setattr(fixed_point, "fast", lambda fast=fast: fast)
        monkeypatch.setattr(fixed_point, "exact", lambda exact=exact: exact)
        apply = packed_for_prompts(weight.T, bias, "fp16")
        assert (apply is not None) == (fast and exact)
        if apply is not None:
            assert_close(apply(x), x @ weight + bias, atol=5e-3, rtol=0)
        assert packed_for_prompts(weight.T, bias, "fp32") is None
        assert packed_for_prompts(weight.T, bias, "int8") is None
