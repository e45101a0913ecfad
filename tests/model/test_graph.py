"""What only the graph decoder does. All but the capture itself is the same code on any device."""

import random
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from midigpt.model import PlainDecoder, sampling
from midigpt.model.graph import GraphDecoder
from midigpt.model.graph_network import GraphNetwork
from midigpt.model.pilot import STRIDE
from midigpt.model.row import CHUNK
from midigpt.model.static_cache import LANES, Bank
from tests.model.courses import CHART, course

LONG = [(7 * i * i + 3) % 50 for i in range(590)]

close = partial(torch.testing.assert_close, atol=1e-4, rtol=0)


@pytest.fixture
def network(make_network):
    return make_network(n_embd=32)


@pytest.fixture
def weights(network):
    return GraphNetwork(network, "fp32")


@pytest.fixture
def decoder(weights):
    return GraphDecoder(weights)


WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::lift_fresh", "aten::is_nonzero"}
"""Operations that have the host wait for the device, or bring memory of the host."""


class Recording(TorchDispatchMode):
    """Notes every operation with the memory that it reads and writes, as a capture does.

    What no capture survives it refuses as well.
    """

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        assert operation.name().split(".")[0] not in WAITING, operation
        result = operation(*args, **(kwargs or {}))
        if not operation.is_view:
            self.operations.append((operation, args, kwargs or {}, result))
        return result

    def replay(self):
        for operation, args, kwargs, result in self.operations:
            again = operation(*args, **kwargs)
            if isinstance(result, torch.Tensor):
                result.copy_(again)
            else:
                for old, new in zip(result, again, strict=True):
                    if isinstance(old, torch.Tensor):
                        old.copy_(new)


class Recorder:
    """Prepares functions as CUDA does: what is run later are the operations of the first call."""

    def __init__(self):
        self.prepared_functions = []

    def prepared(self, function):
        recording = Recording()
        with recording:
            function()
        self.prepared_functions.append(function)
        return recording.replay

    def host(self, *shape):
        return torch.empty(shape)

    def wait(self):
        pass


@pytest.mark.parametrize("waiting", [torch.Tensor.item, torch.nonzero, bool, torch.tensor])
def test_a_recording_refuses_what_no_capture_survives(waiting):
    with pytest.raises(AssertionError), Recording():
        waiting(torch.ones(1) if waiting is not torch.tensor else 3)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def recorded(weights, recorder):
    decoder = GraphDecoder(weights)
    decoder._launcher = recorder
    return decoder


def test_greedy_tokens_are_those_of_the_plain_network(network, decoder):
    """Across the borders of buckets."""
    plain = PlainDecoder(network)
    logits, expected = (each.prefill(0, LONG[:250]) for each in (decoder, plain))
    for _ in range(300):
        close(logits, expected)
        assert logits.argmax() == expected.argmax()
        token = int(expected.argmax())
        logits, expected = (each.step([0], [token])[0] for each in (decoder, plain))


def test_nothing_that_happens_beside_a_row_leaves_a_trace(weights):
    """Bit for bit: prompts of any length, forks, gaps, rows that come and go, several banks."""
    draw, busy = random.Random(5), GraphDecoder(weights)
    for count in (1, 2, LANES, LANES + 1, 3 * LANES - 1, 2):
        length = draw.choice([2, 90, 254, 255, 300, 508, 580])
        prompt = [*LONG[:length], draw.randrange(50)]
        hidden = [(start := draw.randrange(length // 2, length), start + draw.randrange(60))]
        rows = [draw.randrange(3), *range(10, 9 + count)]
        alone = {row: GraphDecoder(weights) for row in {rows[0], rows[-1]}}
        logits = busy.prefill(rows[0], prompt, hidden)
        busy.fork(rows[0], rows[1:])
        for single in alone.values():
            assert torch.equal(single.prefill(0, prompt, hidden), logits)
        for _ in range(6):
            live = draw.choices(rows, k=draw.randint(1, count))
            tokens = [draw.randrange(50) for _ in live]
            logits = busy.step(live, tokens)
            for row, token, line in zip(live, tokens, logits, strict=True):
                if row in alone:
                    assert torch.equal(alone[row].step([0], [token])[0], line)
        for row in rows[1:]:
            busy.rewind(row, 0)
    assert busy.reused_tokens > 0


def test_what_is_captured_depends_on_nothing_but_memory(weights, recorded, recorder):
    """The operations of each first step, replayed for other tokens, rows, lengths and places."""
    draw, direct = random.Random(9), GraphDecoder(weights)
    for each in (recorded, direct):
        each.prefill(0, LONG[:230])
        each.prefill(1, LONG[:490], [(3, 8)])
        each.fork(0, range(2, LANES + 2))
    for turn in range(120):
        if turn == 60:
            recorded.rewind(0, 5)
            direct.rewind(0, 5)
        rows = draw.choices(range(LANES + 2), k=draw.randint(1, 3))
        tokens = [draw.randrange(50) for _ in rows]
        assert torch.equal(recorded.step(rows, tokens), direct.step(rows, tokens))
    assert len(recorder.prepared_functions) == 5  # three buckets in the first bank, two in the next


def test_a_row_in_a_bucket_is_stepped_by_one_graph(recorded, recorder):
    recorded.prefill(0, LONG[:100])
    for _ in range(20):
        recorded.step([0], [1])
        recorded.rewind(0, 100)
    recorded.fork(0, range(1, LANES))
    recorded.step(range(LANES), [1] * LANES)
    assert len(recorder.prepared_functions) == 1
    recorded.fork(0, [LANES])
    recorded.step([LANES], [1])
    assert len(recorder.prepared_functions) == 2


def test_rows_that_come_several_times_change_buckets_on_the_way(decoder, weights):
    """Row 0 crosses a border within the step that row 1 is already beyond."""
    single = GraphDecoder(weights)
    for each in (decoder, single):
        each.prefill(1, LONG[:300])
        each.prefill(0, LONG[:255])
    rows = [1, 1, 0, 0, 1, 0]
    together = decoder.step(rows, [1, 2, 3, 4, 5, 6])
    for row, token, line in zip(rows, [1, 2, 3, 4, 5, 6], together, strict=True):
        assert torch.equal(single.step([row], [token])[0], line)


def test_a_row_may_take_several_tokens(decoder, recorded, recorder):
    """Ten in as many runs of the same graph, and one of another row beside them."""
    for each in (decoder, recorded):
        each.prefill(0, LONG[:20])
        each.fork(0, [1])
    rows = [0] * 5 + [1] + [0] * 5
    together = recorded.step(rows, LONG[20:31])
    for row, token, line in zip(rows, LONG[20:31], together, strict=True):
        assert torch.equal(decoder.step([row], [token])[0], line)
    assert len(recorder.prepared_functions) == 1


def test_a_context_of_any_length_can_be_filled(make_network):
    """Also one that is as long as its memory would be without spare places."""
    for context in (127, 128):
        network = make_network(n_embd=32, n_positions=context)
        decoder = GraphDecoder(GraphNetwork(network, "fp32"))
        decoder.prefill(0, LONG[: context - 1])
        close(
            decoder.step([0], [3])[0], PlainDecoder(network).prefill(0, [*LONG[: context - 1], 3])
        )


def test_a_step_of_no_rows(decoder):
    assert decoder.step([], []).shape == (0, 50)


def test_a_full_row_stays_as_it_is_while_others_go_on(decoder):
    full = LONG + LONG[:9]
    decoder.prefill(0, full)
    follow = decoder.step([0], [1])
    decoder.prefill(1, LONG[:40])
    decoder.step([1], [2])
    decoder.rewind(0, 599)
    assert torch.equal(decoder.step([0], [1]), follow)


def test_another_row_may_know_the_prompt(decoder, weights):
    decoder.prefill(5, LONG)
    decoder.prefill(6, LONG[:300] + LONG[7:16])
    assert decoder.reused_tokens == CHUNK
    decoder.step([5], [1])
    expected = GraphDecoder(weights)
    assert torch.equal(decoder.prefill(7, LONG), expected.prefill(0, LONG))
    assert decoder.reused_tokens == CHUNK + 590
    assert torch.equal(decoder.step([7], [2]), expected.step([0], [2]))
    assert torch.equal(decoder.prefill(6, LONG[:400]), expected.prefill(0, LONG[:400]))


@pytest.mark.parametrize("shorten", ["rewind", "prefill"])
def test_sampled_tokens_are_never_taken_for_a_chunk(decoder, weights, shorten):
    """Where chunks lay before: their keys and values were computed in other shapes."""
    decoder.prefill(0, LONG)
    if shorten == "rewind":
        decoder.rewind(0, 300)
    else:
        decoder.prefill(0, LONG[:300])
    for token in LONG[300:520]:
        decoder.step([0], [token])
    told = decoder.reused_tokens
    assert torch.equal(decoder.prefill(0, LONG), GraphDecoder(weights).prefill(0, LONG))
    assert decoder.reused_tokens - told == CHUNK


def test_a_row_that_went_is_forgotten(decoder):
    decoder.prefill(0, LONG)
    decoder.rewind(0, 0)
    decoder.prefill(0, LONG)
    assert decoder.reused_tokens == 0


def test_memory_of_rows_that_went_is_used_again(decoder):
    for turn in range(4):
        decoder.prefill(0, LONG[turn : turn + 20])
        decoder.fork(0, range(1, LANES))
        for row in range(LANES):
            decoder.rewind(row, 0)
    assert len(decoder._lanes) == LANES
    decoder.prefill(0, LONG[:20])
    decoder.fork(0, range(1, LANES + 1))
    assert len(decoder._lanes) == 2 * LANES


def test_a_step_that_fails_changes_no_row(decoder, weights, monkeypatch):
    def no_memory(*_):
        raise torch.OutOfMemoryError

    decoder.prefill(0, LONG[:30])
    with monkeypatch.context() as patch:
        patch.setattr(Bank, "step", no_memory)
        with pytest.raises(torch.OutOfMemoryError):
            decoder.step([0], [4])
    expected = GraphDecoder(weights)
    expected.prefill(0, LONG[:30])
    assert torch.equal(decoder.step([0], [5]), expected.step([0], [5]))


def test_attention_where_all_is_hidden(decoder):
    assert torch.equal(decoder.attention(LONG[:9], [(0, 9)]), torch.zeros(9))


def test_bf16_agrees_about_the_likeliest_token(make_network):
    network = make_network(n_embd=64)
    exact = PlainDecoder(network).logits(LONG)
    rounded = GraphDecoder(GraphNetwork(network, "bf16"))
    assert rounded.precision == "bf16"
    logits = rounded.logits(LONG)
    assert logits.dtype == torch.float32
    assert (logits.argmax(dim=1) == exact.argmax(dim=1)).double().mean() > 0.97
    assert (logits - exact).abs().max() > 1e-3


def test_bf16_halves_the_memory_of_keys_and_values(network):
    half, full = (GraphNetwork(network, precision).memory(4, 64) for precision in ("bf16", "fp32"))
    assert half.shape == full.shape == (2, 2, 4, 4, 64, 8)
    assert 2 * half.nbytes == full.nbytes


class TestWalk:
    """Rows that go on by themselves."""

    def steps(self, decoder, row, token, walked):
        """The same, step by step."""
        tokens = [token, *walked.guesses]
        return torch.stack([decoder.step([row], [each])[0] for each in tokens])

    def test_the_tokens_follow_from_the_logits(self, decoder):
        decoder.prefill(0, LONG[:100])
        numbers = random.Random(1)
        (walked,) = decoder.walk([0], [7], [course(7, numbers)])
        assert walked.logits.shape == (STRIDE, 50)
        assert [guess % 2 for guess in walked.guesses] == [0, 1, 0, 1, 0, 1, 0]
        numbers, before = random.Random(1), 7
        for guess, line in zip(walked.guesses, walked.logits[:-1], strict=True):
            allowed = torch.from_numpy(CHART.allowed[before % 2])[None]
            probs = sampling.probabilities(line[None], allowed, torch.ones(1, 1))
            assert [guess] == sampling.draw(probs, [numbers.random()])
            before = guess

    def test_the_logits_are_those_of_steps(self, weights, recorded):
        """Bit for bit, captured: rows of any length that walk, step, rewind, come and go."""
        draw, single = random.Random(3), GraphDecoder(weights)
        for row, length in enumerate((3, 100, 250, 252, 300, 509)):
            for each in (recorded, single):
                each.prefill(row, LONG[:length], [(1, 2)])
        walked_tokens = 0
        for _ in range(12):
            rows = draw.sample(range(6), draw.randint(1, 6))
            tokens = [draw.randrange(50) for _ in rows]
            courses = [course(token, draw, draw.randrange(STRIDE)) for token in tokens]
            walks = recorded.walk(rows, tokens, courses)
            for row, token, plan, walked in zip(rows, tokens, courses, walks, strict=True):
                assert len(walked.guesses) <= len(plan.numbers)
                assert torch.equal(walked.logits, self.steps(single, row, token, walked))
                walked_tokens += len(walked.logits)
            back = draw.choice(rows)
            length = single._rows[back].length - draw.randrange(2)
            for each in (recorded, single):
                each.rewind(back, length)
            stepping = draw.sample(range(6), 2)
            assert torch.equal(recorded.step(stepping, [1, 2]), single.step(stepping, [1, 2]))
        assert walked_tokens > 120

    def test_rows_without_a_part_stay_as_they_are(self, decoder, weights):
        for each in (decoder, single := GraphDecoder(weights)):
            each.prefill(0, LONG[:60])
            each.prefill(1, LONG[:90])
        decoder.walk([0], [4], [course(4, random.Random(1))])
        assert torch.equal(decoder.step([1], [5]), single.step([1], [5]))

    def test_it_ends_where_the_next_step_looks_at_more(self, decoder):
        decoder.prefill(0, LONG[:253])
        (walked,) = decoder.walk([0], [4], [course(4, random.Random(1))])
        assert len(walked.logits) == 3
        (walked,) = decoder.walk([0], [4], [course(4, random.Random(1))])
        assert len(walked.logits) == STRIDE

    def test_it_ends_where_the_context_ends(self, decoder):
        decoder.prefill(0, LONG + LONG[:7])
        (walked,) = decoder.walk([0], [4], [course(4, random.Random(1))])
        assert len(walked.logits) == 3
        with pytest.raises(IndexError, match="already fills the context"):
            decoder.walk([0], [4], [course(4, random.Random(1))])

    def test_bad_tokens_and_rows_are_refused(self, decoder):
        decoder.prefill(0, LONG[:9])
        with pytest.raises(IndexError, match="token 50"):
            decoder.walk([0], [50], [course(4, random.Random(1))])
        with pytest.raises(KeyError):
            decoder.walk([3], [4], [course(4, random.Random(1))])

    def test_one_graph_for_each_bucket(self, recorded, recorder):
        for row in range(LANES):
            recorded.prefill(row, LONG[:100])
        for rows in ([0], [1, 2], range(LANES)):
            recorded.walk(rows, [1] * len(rows), [course(1, random.Random(1)) for _ in rows])
        assert len(recorder.prepared_functions) == 1

    def test_whoever_cannot_takes_a_step(self, network):
        plain = PlainDecoder(network)
        plain.prefill(0, LONG[:20])
        assert plain.stride == 0
        (walked,) = plain.walk([0], [4], [course(4, random.Random(1))])
        assert walked.guesses == []
        close(walked.logits[0], PlainDecoder(network).prefill(0, [*LONG[:20], 4]))
