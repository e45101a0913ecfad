"""The graph decoder on a CUDA device: ``pytest -m gpu -s tests/model/test_graph_cuda.py``."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from midigpt.model import GPT2Config, GPT2LMHeadModel, PlainDecoder, make_decoders, sampling
from midigpt.model.capture import Launcher
from midigpt.model.graph import GraphDecoder
from midigpt.model.graph_network import GraphNetwork
from midigpt.model.pilot import STRIDE, free_course
from midigpt.model.static_cache import LANES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="no CUDA device: graphs can be captured on none else"
    ),
]

LONG = [(7 * i * i + 3) % 50 for i in range(590)]


@pytest.fixture
def network(make_network):
    """With heads as wide as those of published checkpoints."""
    return make_network(n_embd=256).to("cuda")


@pytest.fixture(params=["fp32", "bf16"])
def weights(network, request):
    return GraphNetwork(network, request.param)


class Direct(Launcher):
    """Runs functions on the device as they are."""

    def prepared(self, function):
        return function


def greedy(decoder, count):
    """Tokens after ``LONG[:240]``, across the border of a bucket."""
    logits, tokens = decoder.prefill(0, LONG[:240]), []
    for _ in range(count):
        tokens.append(int(logits.argmax()))
        logits = decoder.step([0], tokens[-1:])[0]
    return tokens


def test_cuda_gets_graphs(network):
    one, two = make_decoders(network, count=2)
    assert isinstance(one, GraphDecoder)
    assert one.precision == two.precision == "bf16"
    assert one._network is two._network


def test_a_captured_step_gives_what_its_operations_give(weights):
    captured, direct = GraphDecoder(weights), GraphDecoder(weights)
    direct._launcher = Direct(weights.device)
    draw = random.Random(1)
    for each in (captured, direct):
        each.prefill(0, LONG[:240])
        each.fork(0, range(1, LANES + 1))
    for _ in range(60):
        rows = draw.choices(range(LANES + 1), k=draw.randint(1, 3 * LANES))
        tokens = [draw.randrange(50) for _ in rows]
        assert torch.equal(captured.step(rows, tokens), direct.step(rows, tokens))


def test_a_captured_walk_gives_what_steps_give(weights):
    """And draws, on the device, what the engine would."""
    walker, stepper = GraphDecoder(weights), GraphDecoder(weights)
    rows, draw = range(LANES + 1), random.Random(2)
    for each in (walker, stepper):
        each.prefill(0, LONG[:230])
        each.fork(0, rows[1:])
    for _ in range(8):
        tokens = [draw.randrange(50) for _ in rows]
        numbers = [[draw.random() for _ in range(STRIDE - 1)] for _ in rows]
        walks = walker.walk(rows, tokens, [free_course(50, each) for each in numbers])
        for row, token, walked in zip(rows, tokens, walks, strict=True):
            steps = [stepper.step([row], [each])[0] for each in (token, *walked.guesses)]
            assert torch.equal(walked.logits, torch.stack(steps))
            probs = walked.logits[:-1].softmax(dim=1)
            drawn = sampling.draw(probs, numbers[row][: len(probs)])
            assert drawn == walked.guesses


def test_greedy_tokens_of_fp32_are_those_of_the_plain_network(network, make_network):
    tokens = greedy(GraphDecoder(GraphNetwork(network, "fp32")), 100)
    assert tokens == greedy(PlainDecoder(network), 100)
    assert tokens == greedy(PlainDecoder(make_network(n_embd=256)), 100)


def test_bf16_agrees_about_the_likeliest_token(network):
    exact = PlainDecoder(network).logits(LONG)
    logits = GraphDecoder(GraphNetwork(network, "bf16")).logits(LONG)
    assert (logits.argmax(dim=1) == exact.argmax(dim=1)).double().mean() > 0.95


def test_nothing_that_happens_beside_a_row_leaves_a_trace(weights):
    """Bit for bit: other prompts, forks, gaps, places in the bank, several banks."""
    draw, busy = random.Random(3), GraphDecoder(weights)
    for turn, count in enumerate((1, 2, LANES, LANES + 1, 3 * LANES - 1) * 3):
        prompt = [turn, *LONG[: draw.choice([2, 90, 254, 300, 508, 580])]]
        rows = [draw.randrange(3), *range(10, 9 + count)]
        alone = {row: GraphDecoder(weights) for row in {rows[0], rows[-1]}}
        logits = busy.prefill(rows[0], prompt)
        busy.fork(rows[0], rows[1:])
        for single in alone.values():
            assert torch.equal(single.prefill(0, prompt), logits)
        for _ in range(6):
            live = draw.choices(rows, k=draw.randint(1, count))
            tokens = [draw.randrange(50) for _ in live]
            logits = busy.step(live, tokens)
            for row, token, line in zip(live, tokens, logits, strict=True):
                if row in alone:
                    assert torch.equal(alone[row].step([0], [token])[0], line)
        for row in rows[2:]:
            busy.rewind(row, 0)


def test_decoders_capture_while_others_run(weights):
    """Each in a thread of its own, all with captures on the way; and attention beside them."""
    expected = greedy(GraphDecoder(weights), 100)
    decoders = [GraphDecoder(weights) for _ in range(4)]
    with ThreadPoolExecutor() as threads:
        runs = [threads.submit(greedy, decoder, 100) for decoder in decoders]
        looks = [threads.submit(decoders[0].attention, LONG[:200]) for _ in range(20)]
        assert [run.result() for run in runs] == [expected] * 4
        assert all(torch.equal(look.result(), looks[0].result()) for look in looks)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_speed(precision):
    """Prints milliseconds; no bound, for nobody knows the device."""
    model = GPT2LMHeadModel(GPT2Config(647, 2048, 768, 12, 12)).requires_grad_(False).to("cuda")
    decoder = GraphDecoder(GraphNetwork(model, precision))
    print(f"\n{torch.cuda.get_device_name()}, {precision}, 87.6 M parameters")  # noqa: T201
    for length in (200, 900, 1900):
        began = time.perf_counter()
        decoder.prefill(0, [1] * length)
        print(f"{length} tokens read in {1e3 * (time.perf_counter() - began):.1f} ms")  # noqa: T201
        decoder.fork(0, range(1, 2 * LANES))
        for rows in ([0], [*range(LANES)], [*range(2 * LANES)]):
            took = milliseconds(decoder, rows, length)
            print(f"{took:.3f} ms for a step of {len(rows)} rows")  # noqa: T201
            took = milliseconds(decoder, rows, length, walking=True) / STRIDE
            print(f"{took:.3f} ms for a step of a walk of {len(rows)} rows")  # noqa: T201
        for row in range(2 * LANES):
            decoder.rewind(row, 0)


def milliseconds(decoder, rows, length, *, walking=False):
    """For one step of ``rows``, which are that long; or for a walk."""
    times, tokens = 50, [1] * len(rows)
    courses = [free_course(647, [0.5] * (STRIDE - 1)) for _ in rows]
    began = time.perf_counter()
    for turn in range(1 + times):
        if walking:
            decoder.walk(rows, tokens, courses)
        else:
            decoder.step(rows, tokens)
        for row in rows:
            decoder.rewind(row, length)
        if turn == 0:  # captures
            began = time.perf_counter()
    return 1e3 * (time.perf_counter() - began) / times
