"""The network against logits recorded from the reference implementation."""

from functools import cache

import pytest
import torch
from torch.testing import assert_close

from midigpt.model import PlainDecoder, load_checkpoint
from tests.contract.vectors import FOLDER, load, needs_vectors

pytestmark = needs_vectors

RECORDS = {path.stem: load(f"model/{path.name}") for path in sorted(FOLDER.glob("model/*.json"))}
CASES = [
    (name, case, f"{name}-{case['case']}-{number}")
    for name, record in RECORDS.items()
    for number, case in enumerate(record["cases"])
]


def cases(*kinds):
    """Parametrises over the recorded cases of some kinds."""
    chosen = [row for row in CASES if row[1]["case"] in kinds]
    return pytest.mark.parametrize(
        ("name", "case"), [row[:2] for row in chosen], ids=[row[2] for row in chosen]
    )


@cache
def network(name):
    return load_checkpoint(FOLDER / "checkpoints" / RECORDS[name]["checkpoint"], "cpu").model


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


def close(actual, expected):
    assert_close(actual, torch.tensor(expected), atol=1e-4, rtol=0)


def check(name, logits, expect):
    """Compare logits, (V,) or (T, V), with a record of them."""
    close(logits[..., RECORDS[name]["columns"]], expect["columns"])
    if "argmax" in expect:
        assert logits.argmax(dim=-1).tolist() == expect["argmax"]
        close(logits.logsumexp(dim=-1), expect["logsumexp"])
    if "last" in expect:
        close(logits[-1], expect["last"])


def ids(*tokens):
    return torch.tensor([tokens])


def mask(length, spans):
    visible = torch.ones(length, dtype=torch.bool)
    for start, end in spans:
        visible[start:end] = False
    return visible


def filled(name, case):
    """The tokens of the case that fills the context."""
    model = network(name)
    return [(7919 * i + 13) % model.config.vocab_size for i in range(case["length"])]


@cases("prefill")
def test_prefill(name, case):
    logits, kv = network(name)(ids(*case["input_ids"]))
    check(name, logits[0], case["expect"])
    assert list(kv[0][0].shape) == case["cache"]["shape"]
    for (keys, values), expect in zip(kv, case["cache"]["layers"], strict=True):
        close(keys[0, 0, 0], expect["k_head0_pos0"])
        close(values[0, -1, -1], expect["v_lasthead_lastpos"])


@cases("incremental")
def test_incremental(name, case):
    logits, kv = network(name)(ids(*case["input_ids"]))
    check(name, logits[0, -1], case["expect_steps"][0])
    for token, expect in zip(case["then_one_by_one"], case["expect_steps"][1:], strict=True):
        logits, kv = network(name)(ids(token), kv)
        check(name, logits[0, -1], expect)
    close(logits[0, -1], case["last"])
    assert kv[0][0].shape[2] == case["cache_length"]


@cases("chunked")
def test_chunked(name, case):
    kv = None
    for chunk, expect in zip(case["chunks"], case["expect_steps"], strict=True):
        logits, kv = network(name)(ids(*chunk), kv)
        check(name, logits[0], expect)
    close(logits[0, -1], case["last"])


@cases("key_mask", "key_mask_empty_rows")
def test_key_mask(name, case):
    tokens = case["input_ids"]
    visible = mask(len(tokens), case["hidden_spans"])
    logits, kv = network(name)(ids(*tokens), None, visible)
    check(name, logits[0], case["expect"])
    for token, expect in zip(
        case.get("then_one_by_one", []), case.get("expect_steps", []), strict=True
    ):
        visible = torch.cat((visible, torch.tensor([True])))
        logits, kv = network(name)(ids(token), kv, visible)
        check(name, logits[0, -1], expect)
    close(logits[0, -1], case.get("last", case["expect"]["last"]))


@cases("key_mask_chunk")
def test_key_mask_over_a_cache(name, case):
    _, kv = network(name)(ids(*case["cached_ids"]))
    visible = torch.tensor(case["key_mask"], dtype=torch.bool)
    logits, _ = network(name)(ids(*case["input_ids"]), kv, visible)
    check(name, logits[0], case["expect"])


@cases("position_ids")
def test_position_ids(name, case):
    logits, kv = network(name)(
        ids(*case["input_ids"]), position_ids=torch.tensor(case["position_ids"])
    )
    check(name, logits[0], case["expect"])
    steps = zip(case["then_one_by_one"], case["expect_steps"], strict=True)
    for position, (token, expect) in enumerate(steps, case["first_position"]):
        logits, kv = network(name)(ids(token), kv, position_ids=ids(position))
        check(name, logits[0, -1], expect)
    close(logits[0, -1], case["last"])


@cases("null_positions")
def test_positions_hidden_after_the_prefill(name, case):
    visible = mask(len(case["input_ids"]), case["spans"])
    _, kv = network(name)(ids(*case["input_ids"]), None, visible)
    steps = zip(case["then_one_by_one"], case["expect_steps_if_truly_hidden"], strict=True)
    for token, expect in steps:
        visible = torch.cat((visible, torch.tensor([True])))
        logits, kv = network(name)(ids(token), kv, visible)
        check(name, logits[0, -1], expect)


@cases("batch")
def test_batch(name, case):
    prompt = ids(*case["input_ids"]).expand(len(case["rows"]), -1)
    _, kv = network(name)(prompt)
    logits, kv = network(name)(torch.tensor(case["rows"])[:, None], kv)
    assert list(kv[0][0].shape) == case["cache_shape"]
    close(logits[:, -1, RECORDS[name]["columns"]], case["expect_rows"])


@cases("internals")
def test_internals(name, case):
    hooks = {"attn": lambda _, weights: weights, "hidden": lambda _, x: x}
    _, _, seen = network(name).forward_with_hooks(ids(*case["input_ids"]), None, hooks)
    close(
        torch.stack([weights[0, :, -1].flatten() for weights in seen["attn"]]),
        case["attention_last_query_per_layer_head_by_key"],
    )
    close(torch.stack([x[0, -1] for x in seen["hidden"]]), case["hidden_last_position_per_layer"])


@cases("full_context")
def test_full_context(name, case):
    logits, _ = network(name)(ids(*filled(name, case)))
    check(name, logits[0, -1], case["expect"])


@cases("prefill", "key_mask", "key_mask_empty_rows")
def test_decoder_prefill_and_steps(name, case):
    decoder = PlainDecoder(network(name))
    logits = decoder.prefill(0, case["input_ids"], case.get("hidden_spans", []))
    close(logits, case["expect"]["last"])
    for token, expect in zip(
        case.get("then_one_by_one", []), case.get("expect_steps", []), strict=True
    ):
        check(name, decoder.step([0], [token])[0], expect)


@cases("incremental")
def test_decoder_steps(name, case):
    decoder = PlainDecoder(network(name))
    check(name, decoder.prefill(0, case["input_ids"]), case["expect_steps"][0])
    for token, expect in zip(case["then_one_by_one"], case["expect_steps"][1:], strict=True):
        logits = decoder.step([0], [token])[0]
        check(name, logits, expect)
    close(logits, case["last"])


@cases("chunked")
def test_decoder_prefills_that_extend_each_other(name, case):
    decoder = PlainDecoder(network(name))
    prompt = []
    for chunk, expect in zip(case["chunks"], case["expect_steps"], strict=True):
        prompt += chunk
        logits = decoder.prefill(0, prompt)
        close(logits[RECORDS[name]["columns"]], expect["columns"][-1])
    close(logits, case["last"])


@cases("position_ids")
def test_decoder_leaves_hidden_tokens_out(name, case):
    """Positions that the case skips are hidden tokens to the decoder."""
    tokens, hidden = [0] * case["first_position"], set(range(case["first_position"]))
    for token, position in zip(case["input_ids"], case["position_ids"], strict=True):
        tokens[position] = token
        hidden.discard(position)
    decoder = PlainDecoder(network(name))
    logits = decoder.prefill(0, tokens, [(position, position + 1) for position in hidden])
    if len(tokens) - 1 not in hidden:
        close(logits, case["expect"]["last"])
    for token, expect in zip(case["then_one_by_one"], case["expect_steps"], strict=True):
        check(name, decoder.step([0], [token])[0], expect)


@cases("null_positions")
def test_decoder_hides_for_good(name, case):
    decoder = PlainDecoder(network(name))
    decoder.prefill(0, case["input_ids"], case["spans"])
    steps = zip(case["then_one_by_one"], case["expect_steps_if_truly_hidden"], strict=True)
    for token, expect in steps:
        check(name, decoder.step([0], [token])[0], expect)


@cases("batch")
def test_decoder_forks(name, case):
    decoder = PlainDecoder(network(name))
    decoder.prefill(0, case["input_ids"])
    rows = range(len(case["rows"]))
    decoder.fork(0, rows)
    logits = decoder.step(rows, case["rows"])
    close(logits[:, RECORDS[name]["columns"]], case["expect_rows"])


@cases("internals")
def test_decoder_attention(name, case):
    layers = torch.tensor(case["attention_last_query_per_layer_head_by_key"])
    config = network(name).config
    by_head = layers.view(config.n_layer, config.n_head, -1)
    attention = PlainDecoder(network(name)).attention(case["input_ids"])
    close(attention, by_head[config.n_layer // 2 :].mean(dim=1).sum(dim=0).tolist())


@cases("full_context")
def test_decoder_fills_the_context(name, case):
    decoder = PlainDecoder(network(name))
    check(name, decoder.prefill(0, filled(name, case)), case["expect"])


@pytest.mark.parametrize("name", RECORDS)
def test_record_and_checkpoint_agree(name):
    model = network(name)
    assert vars(model.config) == RECORDS[name]["config"]
    assert sum(p.numel() for p in model.parameters()) == RECORDS[name]["parameters"]


FILES = sorted(
    path
    for folder in ("checkpoints", "inference/checkpoints")
    for path in FOLDER.glob(f"{folder}/*")
    if path.is_dir() or path.suffix in (".pt", ".safetensors")
)


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_every_checkpoint_loads(path):
    bundle = load_checkpoint(path, "cpu")
    logits, _ = bundle.model(ids(0, 1, 2))
    assert logits.shape == (1, 3, bundle.model.config.vocab_size)
    assert logits.isfinite().all()
    assert bundle.encoder_config["resolution"] > 0


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.suffix == ".pt"], ids=lambda path: path.name
)
def test_formats_agree(path):
    """The same weights as a bundle, as safetensors and as TorchScript give the same logits."""
    tokens = torch.arange(300)[None]
    bundle, _ = load_checkpoint(path, "cpu").model(tokens)
    plain, _ = load_checkpoint(path.with_suffix(".safetensors"), "cpu").model(tokens)
    scripted, _ = load_checkpoint(f"{path.with_suffix('')}_torchscript", "cpu").model(tokens)
    assert torch.equal(bundle, plain)
    assert_close(scripted, plain, atol=1e-5, rtol=0)
