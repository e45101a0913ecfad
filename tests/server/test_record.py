import json
import logging
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from midigpt.errors import GenerationError
from midigpt.server.failures import FailedRequests
from midigpt.server.jobs import JobQueue, Lane
from midigpt.server.metrics import Metrics
from midigpt.server.record import Books, Record, Usage
from midigpt.server.stream import Answer
from tests.server.fakes import body

USAGE = Usage(tokens=50, prompt=300, reused=200)


@pytest.fixture
def books(tmp_path):
    return Books(Metrics(["fake"]), FailedRequests(tmp_path / "failed.jsonl"))


def job(*, result=None, error=None, reason=None):
    """A job that has ended; without a result or an error it never had its turn."""
    answer = Future()
    if error is not None:
        answer.set_exception(error)
    elif result is not None:
        answer.set_result(result)
    else:
        answer.cancel()
    return SimpleNamespace(id="mine", answer=answer, reason=reason, waited=1.5)


def written(books, ended, *, turn=True):
    """The metrics after one generation."""
    record = Record(books, "fake", body(request_id="mine"))
    if turn:
        record.began(ended)
    record.ended(ended, USAGE)
    return books.metrics.page().body.decode()


def generations(outcome, reason=""):
    labels = f'model="fake",outcome="{outcome}",reason="{reason}"'
    return f"midigpt_generations_total{{{labels}}} 1.0"


def test_a_generation_that_ended_well(books, caplog, tmp_path):
    with caplog.at_level(logging.INFO, "midigpt"):
        page = written(books, job(result=Answer(completed=True, json=b"{}")))
    assert generations("completed") in page
    assert 'midigpt_generated_tokens_total{model="fake"} 50.0' in page
    assert 'midigpt_prompt_tokens_total{model="fake"} 300.0' in page
    assert 'midigpt_prompt_tokens_reused_total{model="fake"} 200.0' in page
    assert 'midigpt_wait_seconds_sum{model="fake"} 1.5' in page
    (line,) = caplog.messages
    assert line.startswith("generation model=fake outcome=completed reason=none waited=1.500 ")
    assert line.endswith(" tokens=50 prompt=300 reused=200 request_id=mine")
    assert not (tmp_path / "failed.jsonl").exists()


def test_one_that_was_cancelled(books):
    ended = job(result=Answer(completed=False, json=b"{}"), reason="time_limit")
    assert generations("cancelled", "time_limit") in written(books, ended)


def test_one_whose_turn_never_came(books):
    page = written(books, job(reason="client"), turn=False)
    assert generations("cancelled", "client") in page
    assert 'midigpt_generation_seconds_count{model="fake"}' not in page


def test_one_that_failed_is_kept(books, tmp_path):
    page = written(books, job(error=GenerationError("all rejected")))
    assert generations("failed") in page
    kept = json.loads((tmp_path / "failed.jsonl").read_text())
    assert (kept["detail"], kept["body"]["request_id"]) == ("all rejected", "mine")


def test_a_bug_is_no_request_to_keep(books, tmp_path):
    assert generations("failed") in written(books, job(error=ZeroDivisionError()))
    assert not (tmp_path / "failed.jsonl").exists()


def test_the_queue(books):
    jobs, lane = JobQueue(5), Lane()
    running = jobs.submit(lane, "a", lambda job: job.stop.wait(5))
    waiting = jobs.submit(lane, "b", lambda _: None)
    while running.waiting:
        pass
    books.queue(jobs)
    page = books.metrics.page().body.decode()
    assert "midigpt_queue_waiting 1.0" in page
    assert "midigpt_queue_running 1.0" in page
    running.cancel("client")
    waiting.answer.result(5)
