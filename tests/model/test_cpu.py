"""What only the packed decoder does."""

import random
from copy import deepcopy
from functools import partial

import pytest
import torch

from midigpt.model import GPT2Config, PlainDecoder, fixed_point
from midigpt.model.attending import MANY
from midigpt.model.cpu import PackedDecoder
from midigpt.model.packed import PackedNetwork, gelu
from midigpt.model.packing import PRECISIONS
from midigpt.model.prefix import STEP

LONG = [(7 * i * i + 3) % 50 for i in range(590)]


@pytest.fixture
def packed(make_network):
    return PackedNetwork(make_network(n_embd=32), "fp16")


@pytest.fixture
def decoder(packed):
    return PackedDecoder(packed)


@pytest.mark.parametrize(
    ("precision", "width", "heads"),
    [*((p, 64, 4) for p in PRECISIONS), ("fp16", 32, 8), ("fp16", 256, 4), ("fp32", 256, 2)],
)
def test_nothing_that_happens_beside_a_row_leaves_a_trace(make_network, precision, width, heads):
    """Bit for bit: prompts of any length read in pieces, forks, gaps, rows that come and go."""
    network = PackedNetwork(make_network(n_embd=width, n_head=heads), precision)
    draw, busy = random.Random(width), PackedDecoder(network)
    for count in (1, 2, 3, 8, MANY + 1):
        length = draw.randrange(2, 580)
        prompt = [*LONG[:length], draw.randrange(50)]
        hidden = [(start := draw.randrange(length), start + draw.randrange(60))]
        rows = [draw.randrange(3), *range(10, 9 + count)]
        alone = {row: PackedDecoder(network) for row in {rows[0], rows[-1]}}
        logits = busy.prefill(rows[0], prompt, hidden)
        busy.fork(rows[0], rows[1:])
        for single in alone.values():
            assert torch.equal(single.prefill(0, prompt, hidden), logits)
        for _ in range(6):
            live = draw.sample(rows, draw.randint(1, count))
            tokens = [draw.randrange(50) for _ in live]
            logits = busy.step(live, tokens)
            for row, token, line in zip(live, tokens, logits, strict=True):
                if row in alone:
                    assert torch.equal(alone[row].step([0], [token])[0], line)
        for row in rows[1:]:
            busy.rewind(row, 0)
    assert busy.reused_tokens > 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_numbers_do_not_depend_on_how_many_threads_compute(make_network, precision):
    network = PackedNetwork(make_network(n_embd=256), precision)
    runs, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            decoder = PackedDecoder(network)
            logits = [decoder.prefill(0, LONG)]
            decoder.fork(0, [1, 2])
            logits += [decoder.step([0, 1, 2], [n, n + 1, n + 2])[2] for n in range(9)]
            runs.append(torch.stack(logits))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[0], runs[2])


@pytest.mark.parametrize(("width", "threads"), [(256, 1), (384, 0)])
def test_narrow_networks_ask_for_one_thread(make_network, width, threads):
    network = make_network(n_embd=width, n_layer=1)
    assert PackedDecoder(PackedNetwork(network, "fp16")).threads == threads


@pytest.mark.parametrize("length", range(1, 70, 3))
def test_a_prompt_may_go_on_from_any_token(decoder, packed, length):
    decoder.prefill(0, LONG[:length])
    assert torch.equal(decoder.prefill(0, LONG[:150]), PackedDecoder(packed).prefill(0, LONG[:150]))
    assert decoder.reused_tokens == length


def test_another_row_may_know_the_prompt(decoder, packed):
    decoder.prefill(5, LONG[:400])
    decoder.prefill(6, LONG[:200] + LONG[7:16])
    assert decoder.reused_tokens == 200
    decoder.step([5], [1])
    expected = PackedDecoder(packed)
    expected.prefill(0, LONG[:400])
    assert torch.equal(decoder.prefill(7, LONG[:400]), expected.prefill(0, LONG[:400]))
    assert decoder.reused_tokens == 600
    assert torch.equal(decoder.step([7], [2]), expected.step([0], [2]))


def test_a_prompt_that_others_share_is_not_written_over(decoder, packed):
    decoder.prefill(0, LONG[:300])
    decoder.fork(0, [1])
    decoder.prefill(0, LONG[:100] + LONG[7:200])
    expected = PackedDecoder(packed)
    expected.prefill(0, LONG[:300])
    assert torch.equal(decoder.step([1], [7]), expected.step([0], [7]))


def test_memory_grows_in_steps_is_shared_and_given_back(decoder):
    token_bytes = 2 * 2 * 32 * 4  # layers, keys and values, width, float32
    assert decoder.cache_bytes == 0
    decoder.prefill(0, LONG[:300])
    assert decoder.cache_bytes == 2 * STEP * token_bytes
    decoder.fork(0, range(1, 9))
    assert decoder.cache_bytes == 2 * STEP * token_bytes
    decoder.step(range(9), [1] * 9)
    assert decoder.cache_bytes == (2 * STEP + 9 * 64) * token_bytes
    for row in range(9):
        decoder.rewind(row, 0)
    assert decoder.cache_bytes == 0


def test_a_fork_takes_along_what_was_sampled(decoder, packed):
    decoder.prefill(0, LONG[:100])
    for token in range(70):
        decoder.step([0], [token % 50])
    decoder.fork(0, [1, 0])
    decoder.rewind(0, 120)
    expected = PackedDecoder(packed)
    expected.prefill(0, LONG[:100])
    for token in range(70):
        expected.step([0], [token % 50])
    assert torch.equal(decoder.step([1], [3]), expected.step([0], [3]))


def test_packing_takes_the_weights_over(make_network):
    model = make_network(n_embd=32)
    plain = PlainDecoder(deepcopy(model))
    network = PackedNetwork(model, "fp32")
    assert network.config == GPT2Config(50, 600, 32, 2, 4)
    assert model.transformer.h[1].mlp.c_proj.weight.numel() == 0
    logits = PackedDecoder(network).prefill(0, LONG[:80])
    torch.testing.assert_close(logits, plain.prefill(0, LONG[:80]))


def test_prompts_have_maps_of_their_own_only_where_these_are_fast(make_network, monkeypatch):
    """Elsewhere a prompt's numbers are those of float16 weights too, to the last few bits."""
    model = make_network(n_embd=64)
    rounded = deepcopy(model)
    for name, parameter in rounded.named_parameters():
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight", "lm_head.weight")):
            parameter.copy_(parameter.half())
    expected = PlainDecoder(rounded).prefill(0, LONG[:80])
    near = partial(torch.testing.assert_close, expected=expected, rtol=0)
    near(PackedDecoder(PackedNetwork(deepcopy(model), "fp16")).prefill(0, LONG[:80]), atol=1e-2)
    monkeypatch.setattr(fixed_point, "fast", lambda: False)
    near(PackedDecoder(PackedNetwork(model, "fp16")).prefill(0, LONG[:80]), atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_gelu_does_not_depend_on_threads_or_rows(threads):
    x = torch.randn(33, 3072, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([torch.nn.functional.gelu(row[None], approximate="tanh") for row in x])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for rows in range(1, 34):
            assert torch.equal(gelu(x[:rows]), alone[:rows])
    finally:
        torch.set_num_threads(before)
