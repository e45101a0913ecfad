"""Decoders that are lent to one run each."""

import threading

import pytest

from midigpt.inference.pool import DecoderPool, StoppedWaiting


def test_each_is_lent_to_one_at_a_time():
    pool = DecoderPool(["first", "second"])
    with pool.lend() as one, pool.lend() as other:
        assert {one, other} == {"first", "second"}
        with pytest.raises(StoppedWaiting), pool.lend(lambda: True):
            pass


def test_the_last_one_to_come_back_goes_out_first():
    """It holds the prompt of the latest music."""
    pool = DecoderPool(["first", "second", "third"])
    with pool.lend() as outer, pool.lend() as inner:
        pass
    with pool.lend() as again:
        assert again == outer != inner


def test_one_comes_back_whatever_happens():
    pool = DecoderPool(["only"])
    with pytest.raises(ZeroDivisionError), pool.lend():
        raise ZeroDivisionError
    with pool.lend() as decoder:
        assert decoder == "only"


def test_who_waits_gets_the_next_one():
    pool, waits, lent = DecoderPool(["only"]), threading.Event(), []

    def borrow():
        with pool.lend(lambda: waits.set() or False) as decoder:
            lent.append(decoder)

    waiting = threading.Thread(target=borrow)
    with pool.lend():
        waiting.start()
        assert waits.wait(10)
        assert lent == []
    waiting.join(10)
    assert lent == ["only"]
