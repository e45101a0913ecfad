import random

import pytest

from midigpt.inference.lookahead import Guesser


@pytest.mark.parametrize(
    ("begun", "sampled", "guess"),
    [
        ([1, 2, 3, 4, 5, 6], [1, 2], [3, 4, 5]),
        ([1, 2, 3, 9, 1, 2, 4, 8], [1, 2], [4, 8, 1]),
        ([7, 8, 5, 7], [8], [5, 7, 8]),
        ([7, 7, 7], [], [7]),
        ([1, 2, 3], [2, 1], []),
        ([4], [], []),
    ],
)
def test_what_followed_the_last_time_may_follow_again(begun, sampled, guess):
    assert Guesser(begun).guess(len(begun), sampled, 3) == guess


def test_no_more_than_asked_for():
    assert Guesser([1, 2, 3, 4, 1, 2]).guess(6, [], 1) == [3]


def test_sampled_tokens_are_learnt_from():
    guesser = Guesser([1, 2, 3])
    assert guesser.guess(3, [5, 6, 7], 2) == []
    assert guesser.guess(3, [5, 6, 7, 5, 6], 2) == [7, 5]


def test_asking_now_and_then_is_asking_always():
    rng = random.Random(1)
    tokens = [rng.randrange(3) for _ in range(200)]
    often, seldom = Guesser(tokens[:20]), Guesser(tokens[:20])
    for end in range(21, 201):
        sampled = tokens[20:end]
        guess = often.guess(20, sampled, 4)
        if end % 17 == 0:
            assert seldom.guess(20, sampled, 4) == guess
