import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from midigpt.model import fixed_point
from midigpt.model.fixed_point import TWO_DIGITS, exact, fast, one_digit, two_digits

KINDS = [one_digit, two_digits]
WIDTHS = st.sampled_from([32, 64, 96, 256, 768])

needs_exact = pytest.mark.skipif(not exact(), reason="this CPU loses digits: nothing is run on it")


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def whole(*shape):
    """Whole numbers of two digits, the largest among them in each row: their scale is 1."""
    numbers = (random(*shape) * 10000).round().clamp(-TWO_DIGITS, TWO_DIGITS)
    numbers[:, 0] = TWO_DIGITS
    return numbers


def digits(numbers):
    """High and low digits."""
    high = (numbers.long() + 128) // 256
    return high, numbers.long() - 256 * high


@pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="a CPU that may lose digits")
def test_this_cpu_sums_exactly():
    assert exact()


@pytest.mark.parametrize("isa", ["AVX512_CORE_VNNI", "AVX2_VNNI", "AVX2"])
def test_tiles_that_onednn_must_not_use_do_not_count(isa):
    """Whatever the CPU says it has."""
    code = "from midigpt.model.fixed_point import exact, fast; assert not (fast() and exact())"
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)


@needs_exact
@pytest.mark.parametrize(("n_in", "n_out"), [(32, 96), (768, 64), (16384, 32)])
def test_two_digits_are_summed_as_integers(n_in, n_out):
    """All but the product of the low digits, bit for bit."""
    x, weight, bias = whole(9, n_in), whole(n_out, n_in), random(n_out) * 1e6
    (high, low), (weight_high, weight_low) = digits(x), digits(weight)
    once = (low @ weight_high.T + high @ weight_low.T).float()
    more = (high @ weight_high.T).float()
    expected = (once * 256 + more * 256 * 256) + bias
    assert torch.equal(two_digits(weight, bias)(x), expected)


@needs_exact
def test_two_digits_are_rounded_to_the_nearest():
    x = torch.tensor([32512, -32512, 32511.5, -127.5, 128.4, -128.6, 0.5, 1e-9]).repeat(1, 4)
    y = two_digits(torch.eye(32), torch.zeros(32))(x)
    assert_close(y, x.round(), atol=1e-9, rtol=1e-6)


@needs_exact
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_row_does_not_depend_on_the_rows_beside_it(kind, data):
    """Bit for bit, wherever it stands, whatever the others are."""
    n_in, n_out = data.draw(WIDTHS, "n_in"), data.draw(WIDTHS, "n_out")
    rows, seed = data.draw(st.integers(1, 70), "rows"), data.draw(st.integers(0, 99), "seed")
    size = data.draw(st.sampled_from([0, 1e-42, 1e-30, 1e-3, 1, 1e4, 1e30]), "size")
    apply = kind(random(n_out, n_in, seed=seed), random(n_out, seed=seed))
    row = random(1, n_in, seed=seed) * size
    others = random(rows, n_in, seed=seed + 1) * data.draw(st.sampled_from([0, 1, math.nan]))
    place = data.draw(st.integers(0, rows), "place")
    among = apply(torch.cat([others[:place], row, others[place:]]))
    assert among.shape == (rows + 1, n_out)
    assert torch.equal(among[place], apply(row)[0])


@needs_exact
@pytest.mark.parametrize(("kind", "tolerance"), [(one_digit, 3e-2), (two_digits, 3e-4)])
def test_each_row_and_each_output_has_a_scale_of_its_own(kind, tolerance):
    row_sizes = torch.tensor([1e-30, 1e-3, 1, 10, 1e30])[:, None]
    sizes = torch.logspace(-3, 3, 96)
    x, weight = random(5, 64), random(96, 64, seed=1)
    y = kind(weight * sizes[:, None], torch.zeros(96))(x * row_sizes)
    exactly = x @ weight.T
    assert_close(y / row_sizes / sizes, exactly, atol=tolerance * exactly.std().item(), rtol=0)


@needs_exact
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_zeros(kind):
    bias = random(96)
    assert torch.equal(kind(random(96, 64), bias)(torch.zeros(3, 64)), bias.expand(3, -1))
    assert_close(kind(torch.zeros(96, 64), bias)(random(3, 64)), bias.expand(3, -1))


@needs_exact
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stays_none(kind, wrong):
    x = random(3, 64)
    x[1, 5] = wrong
    y = kind(random(96, 64), random(96))(x)
    assert not y[1].isfinite().any()
    assert y[[0, 2]].isfinite().all()


def test_without_tiles_rows_are_unsigned(monkeypatch):
    """There is no good kernel for signed ones; sums are the same."""
    if not fast():
        pytest.skip("this CPU has no tiles")
    weight, bias, x = random(96, 64), random(96), random(11, 64)
    expected = one_digit(weight, bias)(x)
    monkeypatch.setattr(fixed_point, "fast", lambda: False)
    assert torch.equal(one_digit(weight, bias)(x), expected)


@pytest.fixture
def asked_anew():
    exact.cache_clear()
    yield
    exact.cache_clear()


@pytest.mark.usefixtures("asked_anew")
def test_a_cpu_that_saturates(monkeypatch):
    """Old ones add pairs of products in 16 bits."""

    def saturating(weights, _scale):
        def apply(rows):
            pairs = (rows.long()[:, None] * weights.long()).unflatten(-1, (-1, 2)).sum(dim=-1)
            return pairs.clamp(-(2**15), 2**15 - 1).sum(dim=-1).float()

        return apply

    monkeypatch.setattr(fixed_point, "_product", saturating)
    assert not exact()


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize("error", [RuntimeError, AttributeError])
def test_a_build_without_the_kernel(monkeypatch, error):
    def missing(*_):
        raise error("no such operator")

    monkeypatch.setattr(fixed_point, "_product", missing)
    assert not exact()
