import pytest
import torch
from torch.testing import assert_close

from midigpt.model import GPT2Config, GPT2LMHeadModel
from midigpt.model.gpt2 import attention_weights

TOKENS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


def test_the_state_dict_is_that_of_the_published_checkpoints():
    network = GPT2LMHeadModel(GPT2Config(50, 20, 16, 1, 4))
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == {
        "transformer.wte.weight": (50, 16),
        "transformer.wpe.weight": (20, 16),
        "transformer.h.0.ln_1.weight": (16,),
        "transformer.h.0.ln_1.bias": (16,),
        "transformer.h.0.attn.c_attn.weight": (16, 48),
        "transformer.h.0.attn.c_attn.bias": (48,),
        "transformer.h.0.attn.c_proj.weight": (16, 16),
        "transformer.h.0.attn.c_proj.bias": (16,),
        "transformer.h.0.ln_2.weight": (16,),
        "transformer.h.0.ln_2.bias": (16,),
        "transformer.h.0.mlp.c_fc.weight": (16, 64),
        "transformer.h.0.mlp.c_fc.bias": (64,),
        "transformer.h.0.mlp.c_proj.weight": (64, 16),
        "transformer.h.0.mlp.c_proj.bias": (16,),
        "transformer.ln_f.weight": (16,),
        "transformer.ln_f.bias": (16,),
        "lm_head.weight": (50, 16),
    }


def test_a_cache_continues_where_it_ended(network):
    whole, _ = network(TOKENS)
    first, cache = network(TOKENS[:, :5])
    rest, cache = network(TOKENS[:, 5:], cache)
    assert_close(torch.cat((first, rest), dim=1), whole)
    assert [keys.shape for keys, _ in cache] == [(1, 4, 8, 4)] * 2


def test_several_continuations_from_one_cache_leave_each_other_alone(network):
    _, cache = network(TOKENS)
    _, left = network(torch.tensor([[7]]), cache)
    before, _ = network(torch.tensor([[8]]), left)
    network(torch.tensor([[9]]), cache)
    after, _ = network(torch.tensor([[8]]), left)
    assert torch.equal(before, after)


def test_no_tokens_give_no_logits(network):
    logits, cache = network(TOKENS[:, :0])
    assert logits.shape == (1, 0, 50)
    assert cache[0][0].shape == (1, 4, 0, 4)
    assert_close(network(TOKENS, cache)[0], network(TOKENS)[0])
    assert_close(network(TOKENS, ())[0], network(TOKENS)[0])


def test_a_cache_of_one_row_serves_many(network):
    _, cache = network(TOKENS)
    rows, grown = network(torch.tensor([[7], [8]]), cache)
    assert grown[1][1].shape == (2, 4, 9, 4)
    for row, token in enumerate((7, 8)):
        assert_close(rows[row], network(torch.tensor([[token]]), cache)[0][0])


def test_a_hidden_token_counts_as_left_out(network):
    mask = torch.tensor([1, 1, 0, 0, 1, 1, 1, 1], dtype=torch.bool)
    hidden, _ = network(TOKENS, key_mask=mask)
    left_out, _ = network(TOKENS[:, mask], position_ids=torch.arange(8)[mask])
    assert_close(hidden[:, mask], left_out)


def test_key_masks_per_row(network):
    one = torch.tensor([1, 0, 1, 1, 1, 1, 1, 1], dtype=torch.bool)
    two = torch.tensor([0, 1, 1, 1, 1, 0, 0, 1], dtype=torch.bool)
    both, _ = network(TOKENS.expand(2, -1), key_mask=torch.stack((one, two)))
    assert_close(both[0], network(TOKENS, key_mask=one)[0][0])
    assert_close(both[1], network(TOKENS, key_mask=two[None])[0][0])


def test_a_query_that_sees_nothing_attends_to_nothing(network):
    nothing = torch.zeros(8, dtype=torch.bool)
    hooks = {"attn": lambda _, weights: weights.abs().max(), "hidden": lambda _, x: x}
    logits, _, seen = network.forward_with_hooks(TOKENS, None, hooks, nothing)
    assert max(seen["attn"]) == 0
    assert logits.isfinite().all()
    block = network.transformer.h[0]
    x = network.transformer.wte(TOKENS) + network.transformer.wpe(torch.arange(8))
    x = x + block.attn.c_proj.bias
    assert_close(seen["hidden"][0], x + block.mlp(block.ln_2(x)))


def test_hooks_see_the_inner_states_and_their_answers_are_kept(network):
    hooks = {
        "attn": lambda layer, weights: (layer, tuple(weights.shape), weights.sum(dim=-1)),
        "hidden": lambda layer, x: (layer, tuple(x.shape)),
        "logits": lambda logits: tuple(logits.shape),
    }
    _, cache = network(TOKENS)
    logits, _, seen = network.forward_with_hooks(TOKENS, cache, hooks)
    assert torch.equal(logits, network(TOKENS, cache)[0])
    assert [entry[:2] for entry in seen["attn"]] == [(0, (1, 4, 8, 16)), (1, (1, 4, 8, 16))]
    assert_close(seen["attn"][0][2], torch.ones(1, 4, 8))
    assert seen["hidden"] == [(0, (1, 8, 16)), (1, (1, 8, 16))]
    assert seen["logits"] == [(1, 8, 50)]
    assert network.forward_with_hooks(TOKENS, None, {})[2] == {}


def test_shown_weights_are_those_that_the_kernel_uses():
    q, k, v = torch.randn(3, 1, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    visible = torch.ones(5, 5, dtype=torch.bool).tril()
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=visible)
    assert_close(attention_weights(q, k, visible) @ v, expected)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"input_ids": torch.tensor([[50]])}, r"token ids must lie in 0\.\.49"),
        ({"input_ids": torch.tensor([[-1]])}, r"token ids must lie in 0\.\.49"),
        ({"input_ids": torch.zeros(1, 601, dtype=torch.int64)}, r"position ids .* 0\.\.599"),
        (
            {"input_ids": TOKENS, "position_ids": torch.arange(593, 601)},
            r"position ids .* 0\.\.599",
        ),
        ({"input_ids": TOKENS, "position_ids": -torch.arange(8)}, r"position ids .* 0\.\.599"),
    ],
)
def test_ids_outside_the_tables(network, arguments, text):
    with pytest.raises(IndexError, match=text):
        network(**arguments)


def test_key_masks_that_do_not_fit(network):
    _, cache = network(TOKENS)
    with pytest.raises(RuntimeError, match="key_mask must have 16 entries, got 8"):
        network(TOKENS, cache, torch.ones(8, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"key_mask must be of type bool, got torch\.float32"):
        network(TOKENS, None, torch.zeros(8))
