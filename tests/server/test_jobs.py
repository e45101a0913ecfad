import threading
import time
import weakref
from concurrent.futures import wait

import pytest

from midigpt.server.jobs import ClosedError, DuplicateJobError, JobQueue, QueueFullError


@pytest.fixture
def go_on():
    event = threading.Event()
    yield event
    event.set()


def busy(queue, go_on, id_="first"):
    """A job that runs until told to go on or to stop."""
    started = threading.Event()

    def work(job):
        started.set()
        while not go_on.wait(0.01):
            if job.stop.is_set():
                return f"stopped: {job.reason}"
        return "done"

    job = queue.submit(id_, work)
    assert started.wait(5)
    return job


def emptied(queue):
    """Whether the queue is empty, soon: answers are there a moment before slots are free."""
    deadline = time.monotonic() + 5
    while queue.inflight and time.monotonic() < deadline:
        time.sleep(0.001)
    return queue.inflight == 0


def test_jobs_run_one_after_the_other_in_the_order_they_came(go_on):
    queue, order, running = JobQueue(10), [], []

    def work(job):
        running.append(job.id)
        assert len(running) == 1
        order.append(job.id)
        running.clear()

    first = busy(queue, go_on)
    jobs = [queue.submit(str(i), work) for i in range(5)]
    assert queue.inflight == 6
    go_on.set()
    wait([job.answer for job in jobs], 5)
    assert first.answer.result() == "done"
    assert order == ["0", "1", "2", "3", "4"]
    assert emptied(queue)


def test_a_waiting_job_that_is_cancelled_lets_go_of_its_music(go_on):
    class Music:
        pass

    queue, music = JobQueue(10), Music()
    busy(queue, go_on)
    job = queue.submit("second", lambda _, music=music: music)
    gone = weakref.ref(music)
    del music
    job.cancel("disconnect")
    assert gone() is None


def test_the_queue_has_a_limit_and_room_again_after_each_job(go_on):
    queue = JobQueue(2)
    busy(queue, go_on)
    second = queue.submit("second", lambda _: None)
    with pytest.raises(QueueFullError):
        queue.submit("third", lambda _: None)
    go_on.set()
    second.answer.result(5)
    assert emptied(queue)
    assert queue.submit("third", lambda _: 3).answer.result(5) == 3


def test_an_id_is_free_again_when_its_job_has_ended(go_on):
    queue = JobQueue(5)
    first = busy(queue, go_on)
    with pytest.raises(DuplicateJobError):
        queue.submit("first", lambda _: None)
    go_on.set()
    first.answer.result(5)
    assert emptied(queue)
    assert queue.submit("first", lambda _: "again").answer.result(5) == "again"


def test_running_work_is_told_to_stop(go_on):
    queue = JobQueue(5)
    job = busy(queue, go_on)
    assert queue.cancel("first", "client")
    assert queue.cancel("first", "disconnect")  # the first reason stays
    assert job.answer.result(5) == "stopped: client"
    assert emptied(queue)
    assert not queue.cancel("first", "client")


def test_waiting_work_ends_at_once_and_never_runs(go_on):
    queue, ran = JobQueue(5), []
    busy(queue, go_on)
    second = queue.submit("second", ran.append)
    third = queue.submit("third", ran.append)
    assert queue.cancel("second", "disconnect")
    assert second.answer.cancelled()
    assert queue.inflight == 2
    go_on.set()
    third.answer.result(5)
    assert ran == [third]


def test_a_failure_is_the_answer_and_frees_the_slot():
    queue = JobQueue(1)

    def fail(_):
        raise ZeroDivisionError

    assert isinstance(queue.submit("bad", fail).answer.exception(5), ZeroDivisionError)
    assert emptied(queue)
    assert queue.submit("good", lambda _: 1).answer.result(5) == 1


def test_jobs_know_how_long_they_waited(go_on):
    queue = JobQueue(5)
    busy(queue, go_on)
    second = queue.submit("second", lambda job: job.waited)
    time.sleep(0.05)
    go_on.set()
    assert 0.05 <= second.answer.result(5) < 5


def test_what_comes_first_counts_as_no_job(go_on):
    queue = JobQueue(1)
    loading = queue.first(lambda: go_on.wait(5))
    job = queue.submit("early", lambda _: threading.current_thread().name)
    assert queue.inflight == 1
    go_on.set()
    assert loading.result(5)
    assert job.answer.result(5).startswith("model")


def test_a_closed_queue_takes_no_more_and_cancels_what_does_not_end(go_on):
    queue = JobQueue(5)
    running = busy(queue, go_on)
    waiting = queue.submit("second", lambda _: None)
    queue.close(grace=0.05)
    with pytest.raises(ClosedError):
        queue.submit("third", lambda _: None)
    assert running.answer.result(5) == "stopped: shutdown"
    assert waiting.answer.cancelled()


def test_a_signal_in_the_middle_of_a_submission_does_not_lock_it_up():
    queue = JobQueue(5)
    with queue._lock:  # where a handler on the same thread may find it
        queue.close(grace=60)
    with pytest.raises(ClosedError):
        queue.submit("late", lambda _: None)


def test_a_closed_queue_lets_jobs_end_in_peace(go_on):
    queue = JobQueue(5)
    running = busy(queue, go_on)
    queue.close(grace=60)
    go_on.set()
    assert running.answer.result(5) == "done"
