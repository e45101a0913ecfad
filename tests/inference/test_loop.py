import numpy as np
import pytest
import torch

from midigpt.errors import GenerationError
from midigpt.inference import InferenceConfig
from midigpt.inference.counters import Counters
from midigpt.inference.filters import Filters
from midigpt.inference.loop import Loop
from midigpt.inference.prompt import Prompt
from midigpt.inference.row import Row, Status
from tests.inference.fakes import FakeDecoder

END = 0


class FreeRules:
    """Everything is allowed; token 0 ends the row."""

    def mask(self, out):
        out[:] = True

    def advance(self, token):
        pass

    def complete(self, token):
        return token == END


class DeadEnd(FreeRules):
    def mask(self, out):
        out[:] = False


class OnlyToken(FreeRules):
    def __init__(self, token):
        self.token = token

    def mask(self, out):
        out[:] = False
        out[self.token] = True


def row(*tokens, rules=None, seed=1, budget=50, temperature=1.0, weights=()):
    prompt = Prompt(tokens or (1, 2, 3), (), (0,), ())
    return Row(prompt, rules or FreeRules(), temperature, (seed, 0, 0), budget, weights)


def candidate(*rows):
    """Yield the rows one after the other; what was sampled in them is the result."""
    for each in rows:
        yield [each]
    return [(each.status, each.tokens) for each in rows]


@pytest.fixture
def decoder():
    return FakeDecoder(20)


@pytest.fixture
def loop(decoder, vocabulary):
    filters = Filters.of(InferenceConfig(), vocabulary)
    return Loop(decoder, filters, lambda: False, Counters())


def test_a_row_runs_until_its_rules_say_it_is_complete(loop):
    ((status, tokens),) = loop.run([candidate(row())])[0]
    assert status is Status.COMPLETE
    assert tokens[-1] == END
    assert END not in tokens[:-1]


def test_a_row_that_uses_up_its_budget_is_truncated(loop):
    ((status, tokens),) = loop.run([candidate(row(rules=OnlyToken(7), budget=5))])[0]
    assert (status, tokens) == (Status.TRUNCATED, [7] * 5)


def test_rows_side_by_side_are_the_rows_alone(loop):
    """They differ in prompt, seed, temperature and length; one starts when another has ended."""

    def candidates():
        return [
            candidate(row(4, 5, seed=1)),
            candidate(row(4, 5, seed=2), row(6, seed=3, temperature=2.0)),
            candidate(row(9, 9, 9, 9, seed=4, budget=3)),
        ]

    alone = [loop.run([each])[0] for each in candidates()]
    together = loop.run(candidates())
    assert together == alone
    assert len({tuple(tokens) for result in together for _, tokens in result}) == 4


def test_equal_prompts_are_read_once(decoder, loop):
    loop.run([candidate(row(4, 5, seed=1)), candidate(row(4, 5, seed=2)), candidate(row(6))])
    assert [tokens for _, tokens, _ in decoder.prefills] == [(4, 5), (6,)]
    assert decoder.forks == [(0, [1])]


def test_later_rows_leave_the_first_prompt_where_it_is(decoder, loop):
    loop.run([candidate(row(4), row(5), row(6))])
    assert [place for place, _, _ in decoder.prefills] == [0, 1, 1]


def test_memory_is_given_back_but_for_two_rows(decoder, loop):
    loop.run([candidate(row(4, seed=seed)) for seed in range(4)])
    assert decoder.rows.keys() == {0, 1}


def test_memory_is_given_back_after_an_error_too(decoder, loop):
    def broken():
        yield [row(4, seed=1), row(4, seed=2), row(5)]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop.run([broken()])
    assert decoder.rows.keys() == {0, 1}


def test_a_dead_end_ends_its_row_only(loop):
    crashed, alive = loop.run([candidate(row(rules=DeadEnd())), candidate(row(seed=2))])
    assert crashed == [(Status.CRASHED, [])]
    assert alive == loop.run([candidate(row(seed=2))])[0]


def test_a_failure_is_the_result_of_its_candidate(loop):
    def failing():
        yield [row()]
        raise GenerationError("no luck")

    failed, fine = loop.run([failing(), candidate(row(seed=2))])
    assert str(failed) == "no luck"
    assert fine[0][0] is Status.COMPLETE


def test_other_errors_come_through(loop):
    def broken():
        yield [row()]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop.run([broken()])


class TestLookahead:
    """A decoder that takes several tokens of a row at once is given guesses at what comes."""

    @pytest.fixture(autouse=True)
    def _looks_ahead(self, decoder):
        decoder.lookahead = 3

    def test_right_guesses_save_steps(self, decoder, loop):
        start = (1, 7, 7, 7, 7)
        ((_, tokens),) = loop.run([candidate(row(*start, rules=OnlyToken(7), budget=10))])[0]
        assert tokens == [7] * 10
        assert [len(step) for step in decoder.steps] == [2, 2, 2, 2, 1]
        assert {row for step in decoder.steps for row, _ in step} == {0}

    def test_wrong_guesses_are_forgotten(self, decoder, loop):
        loop.run([candidate(row(1, 2, 3, 1, rules=OnlyToken(2), budget=4))])
        assert decoder.steps == [[(0, 2), (0, 3), (0, 1)], [(0, 2)], [(0, 2)]]
        assert decoder.rows[0] == [1, 2, 3, 1, 2, 2, 2]

    def test_nobody_can_tell_by_the_tokens(self, decoder, loop):
        def rows():
            few = torch.zeros(20)
            few[:4] = 1.0
            return [row(1, 2, 3, 1, seed=n, budget=40, weights=(few,)) for n in range(20)]

        looked = loop.run([candidate(*rows())])
        guesses = sum(len(step) - 1 for step in decoder.steps)
        decoder.lookahead = 0
        assert loop.run([candidate(*rows())]) == looked
        assert guesses > 50

    def test_rows_side_by_side_are_left_alone(self, decoder, loop):
        rows = [row(7, 7, 7, seed=n, rules=OnlyToken(7), budget=5) for n in range(2)]
        loop.run([candidate(each) for each in rows])
        assert [len(step) for step in decoder.steps] == [2] * 4


def test_a_candidate_may_want_nothing(loop):
    assert loop.run([candidate()]) == [[]]
    assert loop.run([]) == []


def test_cancelling_ends_all_rows_where_they_stand(decoder, vocabulary):
    filters = Filters.of(InferenceConfig(), vocabulary)
    calls = iter([False] * 10 + [True] * 10)
    loop = Loop(decoder, filters, lambda: next(calls), Counters())

    rows = [row(4, rules=OnlyToken(7)), row(5, rules=OnlyToken(8))]
    results = loop.run([candidate(each) for each in rows])

    assert [status for ((status, _),) in results] == [Status.CANCELLED] * 2
    # two questions were asked while the prompts were read, the others one before each token
    assert [tokens for ((_, tokens),) in results] == [[7] * 8, [8] * 8]


def test_cancelling_stops_the_reading_of_prompts(decoder, vocabulary):
    loop = Loop(decoder, Filters.of(InferenceConfig(), vocabulary), lambda: True, Counters())
    results = loop.run([candidate(row(4)), candidate(row(4))])
    assert results == [[(Status.CANCELLED, [])]] * 2
    assert decoder.prefills == []


def test_weights_shape_the_distribution(loop):
    only_five = torch.zeros(20)
    only_five[5] = 1.0
    ((_, tokens),) = loop.run([candidate(row(weights=(only_five,), budget=4))])[0]
    assert tokens == [5] * 4


def test_filters_apply(decoder):
    filters = Filters(torch.ones(20, dtype=torch.bool), top_k=1)
    loop = Loop(decoder, filters, lambda: False, Counters())
    ((_, tokens),) = loop.run([candidate(row(4, 5, budget=1))])[0]
    assert tokens == [int(np.argmax(FakeDecoder(20).prefill(0, (4, 5)).numpy()))]


def test_counters_add_up(decoder, vocabulary):
    counters = Counters()
    loop = Loop(decoder, Filters.of(InferenceConfig(), vocabulary), lambda: False, counters)
    short, long = row(1, 2, rules=OnlyToken(7), budget=3), row(1, rules=OnlyToken(7), budget=9)
    loop.run([candidate(short), candidate(long)])
    assert counters.sampled == 12
    assert counters.peak_tokens == 10
    assert counters.forward_s > 0
