"""What every decoder promises, and how each of them keeps it."""

from copy import deepcopy
from functools import partial

import pytest
import torch

from midigpt.model import PRECISIONS, PlainDecoder
from midigpt.model.cpu import PackedDecoder
from midigpt.model.graph import GraphDecoder
from midigpt.model.graph_network import GraphNetwork
from midigpt.model.packed import PackedNetwork
from midigpt.model.row import CHUNK

LONG = [(7 * i * i + 3) % 50 for i in range(590)]
TOLERANCES = {
    "plain": 1e-5,
    "fp32": 1e-5,
    "fp16": 5e-3,
    "int8": 0.4,
    "graph fp32": 1e-5,
    "graph bf16": 0.2,
}
"""How far logits, of the order of 1, may be off."""


@pytest.fixture
def network(make_network, request):
    """Of as many layers as the test says, by default two."""
    return make_network(n_embd=32, n_layer=getattr(request, "param", 2))


@pytest.fixture(params=TOLERANCES)
def kind(request):
    return request.param


@pytest.fixture
def new_decoder(kind, network):
    """Makes decoders of the same network."""
    if kind == "plain":
        return partial(PlainDecoder, network)
    if kind.startswith("graph"):
        return partial(GraphDecoder, GraphNetwork(network, kind.removeprefix("graph ")))
    return partial(PackedDecoder, PackedNetwork(deepcopy(network), kind))


@pytest.fixture
def decoder(new_decoder):
    return new_decoder()


@pytest.fixture
def reusable(kind):
    """How many of so many common tokens a decoder need not read again."""
    anywhere = kind in PRECISIONS
    return lambda common: common if anywhere else common // CHUNK * CHUNK


@pytest.fixture
def assert_close(kind):
    return partial(torch.testing.assert_close, atol=TOLERANCES[kind], rtol=0)


@pytest.fixture
def fresh(new_decoder):
    """Logits after a prompt on a decoder that has seen nothing else."""

    def logits(tokens, hidden=()):
        return new_decoder().prefill(0, tokens, hidden)

    return logits


def plain(network, tokens, hidden=()):
    """Logits after ``tokens``, in one pass with a mask."""
    visible = torch.ones(len(tokens), dtype=torch.bool)
    for start, end in hidden:
        visible[start:end] = False
    return network(torch.tensor([tokens]), key_mask=visible)[0][0, -1]


def test_prefill_and_steps_give_the_logits_of_the_whole(network, decoder, assert_close):
    assert (decoder.vocab_size, decoder.context) == (50, 600)
    logits = decoder.prefill(0, LONG[:300])
    assert logits.shape == (50,)
    assert_close(logits, plain(network, LONG[:300]))
    for length in range(301, 306):
        logits = decoder.step([0], [LONG[length - 1]])
        assert logits.shape == (1, 50)
        assert_close(logits[0], plain(network, LONG[:length]))


def test_the_logits_after_each_token_of_a_sequence(network, decoder, assert_close):
    logits = decoder.logits(LONG[:300])
    assert logits.shape == (300, 50)
    for length in (1, 7, 300):
        assert_close(logits[length - 1], plain(network, LONG[:length]))
    with pytest.raises(IndexError, match="601 tokens do not fit the context of 600"):
        decoder.logits([0] * 601)


@pytest.mark.parametrize(
    "hidden",
    [[(3, 9)], [(0, 4), (10, 12)], [(280, 300)], [(299, 300)], [(0, 300)], [(250, 900)]],
    ids=str,
)
def test_hidden_tokens_are_seen_by_none(network, decoder, hidden, assert_close):
    """Also where the prompt begins or ends with them, or consists of them."""
    tokens = LONG[:300]
    assert_close(decoder.prefill(0, tokens, hidden), plain(network, tokens, hidden))
    for token in (5, 6):
        tokens = [*tokens, token]
        clipped = [(start, min(end, 300)) for start, end in hidden]
        assert_close(decoder.step([0], [token])[0], plain(network, tokens, clipped))


def test_the_logits_of_a_prompt_do_not_depend_on_what_was_there_before(decoder, fresh):
    """Bit for bit: whole chunks are kept, everything else is computed in the same shapes."""
    earlier = [LONG[:40], LONG, LONG[:300], LONG[:520] + [1] * 30, LONG[:3], LONG[:257]]
    for tokens in earlier:
        assert torch.equal(decoder.prefill(0, tokens), fresh(tokens))
        for token in (1, 2, 3):
            decoder.step([0], [token])
        hidden = [(2, 5), (400, 420)]
        assert torch.equal(decoder.prefill(0, LONG, hidden), fresh(LONG, hidden))


def test_generated_tokens_are_read_again_when_they_come_in_a_prompt(decoder, fresh, reusable):
    decoder.prefill(0, LONG[:200])
    for token in LONG[200:300]:
        decoder.step([0], [token])
    assert torch.equal(decoder.prefill(0, LONG[:300]), fresh(LONG[:300]))
    assert decoder.reused_tokens == reusable(200)


def test_what_prompts_share_is_computed_once(decoder, reusable):
    """Except for the last token, whose logits are wanted."""
    prompts = [
        (LONG, [], 590, 0),
        (LONG[:580], [], 580, 579),
        (LONG[:580], [(300, 301)], 579, 300),
        (LONG, [(300, 302)], 588, 300),
        ([4, *LONG[1:]], [], 590, 0),
    ]
    for tokens, hidden, visible, common in prompts:
        told, reused = decoder.prompt_tokens, decoder.reused_tokens
        decoder.prefill(0, tokens, hidden)
        assert decoder.prompt_tokens - told == visible
        assert decoder.reused_tokens - reused == reusable(common)


def test_the_same_prompt_again_costs_nothing(decoder):
    hidden = [(1, 4)]
    first = decoder.prefill(0, LONG, hidden)
    follow = decoder.step([0], [7])
    again = decoder.prefill(0, LONG, hidden, check=lambda: pytest.fail("it computes"))
    assert torch.equal(again, first)
    assert decoder.reused_tokens == 587
    with torch.inference_mode():
        again.zero_()
    assert torch.equal(decoder.prefill(0, LONG, hidden), first)
    assert torch.equal(decoder.step([0], [7]), follow)


def test_a_prompt_that_was_cut_is_computed_again(decoder, reusable):
    first = decoder.prefill(0, LONG)
    decoder.rewind(0, 580)
    for token in LONG[580:]:
        decoder.step([0], [token])
    assert torch.equal(decoder.prefill(0, LONG), first)
    assert decoder.reused_tokens == reusable(589)


def test_a_row_does_not_depend_on_its_neighbours(decoder, new_decoder):
    """Bit for bit, in rows of different lengths and fills."""
    prompts = {4: LONG[:300], 0: LONG[:7], 9: LONG[:258]}
    for row, prompt in prompts.items():
        decoder.prefill(row, prompt)
    together = [decoder.step([9, 0, 4], [token, 2, 3]) for token in range(5)]
    alone = new_decoder()
    alone.prefill(0, LONG[:258])
    for token, logits in enumerate(together):
        assert torch.equal(alone.step([0], [token])[0], logits[0])


def test_a_row_may_take_several_tokens_in_one_step(decoder, new_decoder):
    """Bit for bit as one by one."""
    tokens = [3, 1, 4, 1, 5]
    single = new_decoder()
    for each in (decoder, single):
        each.prefill(0, LONG[:100])
        each.fork(0, [1])
        each.step([0], [9])
    together = decoder.step([0, 1, 0, 0, 1], tokens)
    for row, token, logits in zip([0, 1, 0, 0, 1], tokens, together, strict=True):
        assert torch.equal(single.step([row], [token])[0], logits)
    decoder.rewind(0, 102)
    single.rewind(0, 102)
    assert torch.equal(decoder.step([0], [7]), single.step([0], [7]))
    full = decoder.prefill(0, LONG + LONG[:8])
    with pytest.raises(IndexError, match="a row already fills the context of 600 positions"):
        decoder.step([0, 1, 0, 0], [1, 1, 1, 1])
    assert torch.equal(decoder.prefill(0, LONG + LONG[:8]), full)


def test_forks_go_on_by_themselves(network, decoder, assert_close):
    decoder.prefill(0, LONG[:400])
    decoder.fork(0, [0, 1, 2])
    logits = decoder.step([0, 1, 2], [5, 6, 5])
    assert torch.equal(logits[0], logits[2])
    decoder.step([2], [8])
    for row, token in ((0, 5), (1, 6)):
        expected = plain(network, [*LONG[:400], token, 9])
        assert_close(decoder.step([row], [9])[0], expected)


def test_a_fork_knows_its_prompt(decoder, fresh):
    decoder.prefill(0, LONG)
    decoder.fork(0, [1])
    decoder.rewind(0, 0)
    assert torch.equal(decoder.prefill(1, LONG), fresh(LONG))
    assert decoder.reused_tokens == 590


def test_a_rewound_row_takes_another_turn(network, decoder, assert_close):
    decoder.prefill(0, LONG[:300], [(10, 20)])
    first = decoder.step([0], [1])
    decoder.step([0], [2])
    decoder.rewind(0, 300)
    assert torch.equal(decoder.step([0], [1]), first)
    decoder.rewind(0, 100)
    expected = plain(network, [*LONG[:100], 3], [(10, 20)])
    assert_close(decoder.step([0], [3])[0], expected)


def test_rewinding_to_nothing_frees_the_row(decoder):
    decoder.prefill(0, LONG[:10])
    decoder.rewind(0, 0)
    with pytest.raises(KeyError):
        decoder.step([0], [1])


def test_check_is_called_before_each_chunk_and_may_stop_the_work(decoder, fresh):
    calls = []

    def check():
        calls.append(None)
        if len(calls) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        decoder.prefill(0, LONG, check=check)
    assert torch.equal(decoder.prefill(0, LONG), fresh(LONG))
    assert decoder.reused_tokens == 2 * CHUNK


def test_attention_leads_to_the_tokens_that_the_last_one_sees(network, decoder, assert_close):
    tokens, hidden = LONG[:270], [(4, 30), (268, 270)]
    visible = torch.ones(270, dtype=torch.bool)
    visible[4:30] = visible[268:] = False
    hooks = {"attn": lambda _, weights: weights[0, :, -1].mean(dim=0)}
    _, _, seen = network.forward_with_hooks(torch.tensor([tokens]), None, hooks, visible)
    attention = decoder.attention(tokens, hidden)
    assert_close(attention, seen["attn"][1])
    assert attention[~visible].abs().max() == 0


@pytest.mark.parametrize("network", [5], indirect=True)
def test_attention_adds_the_upper_half_of_the_layers(network, decoder, assert_close):
    hooks = {"attn": lambda _, weights: weights[0, :, -1].mean(dim=0)}
    _, _, seen = network.forward_with_hooks(torch.tensor([LONG[:20]]), None, hooks)
    attention = decoder.attention(LONG[:20])
    assert_close(attention, sum(seen["attn"][2:]))
    assert attention.sum().item() == pytest.approx(3)


def test_the_context_can_be_filled_but_not_overrun(network, decoder, assert_close):
    full = LONG + LONG[:9]
    decoder.prefill(0, full)
    assert_close(decoder.step([0], [1])[0], plain(network, [*full, 1]))
    with pytest.raises(IndexError, match="a row already fills the context of 600 positions"):
        decoder.step([0], [1])
    with pytest.raises(IndexError, match="601 tokens do not fit the context of 600"):
        decoder.prefill(0, [0] * 601)


@pytest.mark.parametrize("token", [-1, 50])
def test_tokens_outside_the_vocabulary_change_nothing(decoder, token):
    first = decoder.prefill(0, LONG[:5])
    decoder.prefill(1, LONG[:5])
    with pytest.raises(IndexError, match=f"token {token} lies outside the vocabulary of 50"):
        decoder.step([0, 1], [3, token])
    with pytest.raises(IndexError, match=f"token {token} lies outside the vocabulary of 50"):
        decoder.prefill(0, [1, token])
    decoder.rewind(0, 5)
    assert torch.equal(decoder.prefill(0, LONG[:5]), first)


def test_calls_that_make_no_sense(decoder):
    with pytest.raises(ValueError, match="at least one token"):
        decoder.prefill(0, [])
    decoder.prefill(0, LONG[:5])
    for length in (-1, 6):
        with pytest.raises(ValueError, match=f"row 0 holds 5 tokens, cannot rewind to {length}"):
            decoder.rewind(0, length)
    for call in (
        lambda: decoder.fork(3, [0]),
        lambda: decoder.step([3], [0]),
        lambda: decoder.rewind(3, 1),
    ):
        with pytest.raises(KeyError):
            call()
    before = decoder.prefill(0, LONG[:5])
    with pytest.raises(ValueError, match="zip"):
        decoder.step([0], [1, 2])
    assert torch.equal(decoder.prefill(0, LONG[:5]), before)


def test_attention_touches_no_row(new_decoder):
    """It is asked for while another request is prepared, and a generation may be running."""
    decoder, alone = new_decoder(), new_decoder()
    for each in (decoder, alone):
        each.prefill(0, LONG[:40])
    decoder.attention(LONG[5:60])
    assert torch.equal(decoder.step([0], [3]), alone.step([0], [3]))
    assert decoder.prompt_tokens == alone.prompt_tokens
