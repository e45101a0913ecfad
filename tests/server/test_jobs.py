import threading
import time
import weakref
from concurrent.futures import wait
from contextlib import suppress

import pytest

from midigpt.server.jobs import ClosedError, DuplicateJobError, JobQueue, Lane, QueueFullError

LANE = Lane()


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

    job = queue.submit(LANE, id_, work)
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
    jobs = [queue.submit(LANE, str(i), work) for i in range(5)]
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
    job = queue.submit(LANE, "second", lambda _, music=music: music)
    gone = weakref.ref(music)
    del music
    job.cancel("disconnect")
    assert gone() is None


def test_a_waiting_job_that_is_cancelled_lets_go_of_what_waits_for_its_answer(go_on):
    class Music:
        pass

    queue, music = JobQueue(10), Music()
    busy(queue, go_on)
    job = queue.submit(LANE, "second", lambda _: None)
    job.answer.add_done_callback(lambda _, music=music: music)
    gone = weakref.ref(music)
    job.cancel("disconnect")
    del music, job
    assert gone() is None


def test_jobs_that_have_left_the_line_keep_no_others_waiting(go_on):
    queue, order = JobQueue(10), []
    busy(queue, go_on)
    jobs = [queue.submit(LANE, name, lambda job: order.append(job.id)) for name in "abcde"]
    for index in (0, 2, 4):
        jobs[index].cancel("client")
    late = queue.submit(LANE, "f", lambda job: order.append(job.id))
    go_on.set()
    late.answer.result(5)
    assert order == ["b", "d", "f"]
    assert emptied(queue)


def test_the_queue_has_a_limit_and_room_again_after_each_job(go_on):
    queue = JobQueue(2)
    busy(queue, go_on)
    second = queue.submit(LANE, "second", lambda _: None)
    with pytest.raises(QueueFullError):
        queue.submit(LANE, "third", lambda _: None)
    go_on.set()
    second.answer.result(5)
    assert emptied(queue)
    assert queue.submit(LANE, "third", lambda _: 3).answer.result(5) == 3


def test_an_id_is_free_again_when_its_job_has_ended(go_on):
    queue = JobQueue(5)
    first = busy(queue, go_on)
    with pytest.raises(DuplicateJobError):
        queue.submit(LANE, "first", lambda _: None)
    go_on.set()
    first.answer.result(5)
    assert emptied(queue)
    assert queue.submit(LANE, "first", lambda _: "again").answer.result(5) == "again"


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
    second = queue.submit(LANE, "second", ran.append)
    third = queue.submit(LANE, "third", ran.append)
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

    assert isinstance(queue.submit(LANE, "bad", fail).answer.exception(5), ZeroDivisionError)
    assert emptied(queue)
    assert queue.submit(LANE, "good", lambda _: 1).answer.result(5) == 1


def test_a_failure_in_what_is_called_at_the_end_harms_nobody(caplog):
    queue = JobQueue(1)

    def ended(_):
        raise ZeroDivisionError

    assert queue.submit(LANE, "first", lambda _: 1, ended).answer.result(5) == 1
    assert emptied(queue)
    assert queue.submit(LANE, "second", lambda _: 2).answer.result(5) == 2
    assert "ZeroDivisionError" in caplog.text


def test_each_job_ends_once_whoever_is_first():
    queue, lanes, ended, done = JobQueue(20), [Lane(1), Lane(3)], [], threading.Event()

    def cancels():
        while not done.is_set():
            for number in range(submitted, submitted - 20, -1):
                queue.cancel(str(number), "client")
            time.sleep(0.0005)

    submitted = 0
    cancelling = [threading.Thread(target=cancels) for _ in range(3)]
    for thread in cancelling:
        thread.start()
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        with suppress(QueueFullError):
            queue.submit(
                lanes[submitted % 2],
                str(submitted),
                lambda job: job.stop.wait(0.001),
                lambda job: ended.append(job.id),
            )
            submitted += 1
    assert emptied(queue)
    done.set()
    for thread in cancelling:
        thread.join()
    assert sorted(map(int, ended)) == list(range(submitted))


def test_jobs_know_how_long_they_waited(go_on):
    queue = JobQueue(5)
    busy(queue, go_on)
    second = queue.submit(LANE, "second", lambda job: job.waited)
    time.sleep(0.05)
    go_on.set()
    assert 0.05 <= second.answer.result(5) < 5


def test_lanes_do_not_wait_for_each_other(go_on):
    queue = JobQueue(5)
    busy(queue, go_on)
    assert queue.submit(Lane(), "other", lambda _: "done").answer.result(5) == "done"


def test_a_lane_may_run_several_jobs():
    queue, wide = JobQueue(5), Lane(2)
    both = threading.Barrier(2, timeout=5)
    jobs = [queue.submit(wide, name, lambda _: both.wait()) for name in "ab"]
    assert sorted(job.answer.result(5) for job in jobs) == [0, 1]


def test_places_in_line(go_on):
    queue, other = JobQueue(9), Lane()
    running = busy(queue, go_on)
    second, third = (queue.submit(LANE, name, lambda _: None) for name in "ab")
    elsewhere = queue.submit(other, "c", lambda _: go_on.wait(5))
    behind = queue.submit(other, "d", lambda _: None)
    assert [queue.position(job) for job in (running, second, third, behind)] == [0, 1, 2, 1]
    assert queue.waiting == 3
    second.cancel("client")
    assert (queue.position(second), queue.position(third)) == (0, 1)
    go_on.set()
    wait([job.answer for job in (running, third, elsewhere, behind)], 5)
    assert queue.position(third) == 0


def test_a_job_may_take_only_so_long(go_on):
    queue = JobQueue(5, seconds=0.1)
    first = busy(queue, go_on)
    second = queue.submit(LANE, "second", lambda job: job.stop.is_set())
    assert first.answer.result(5) == "stopped: time_limit"
    assert second.answer.result(5) is False  # waiting is not counted


def test_a_job_that_has_ended_has_no_reason_to_stop():
    job = JobQueue(5).submit(LANE, "only", lambda _: None)
    job.answer.result(5)
    job.cancel("disconnect")
    assert job.reason is None


def test_a_closed_queue_takes_no_more_and_cancels_what_does_not_end(go_on):
    queue = JobQueue(5)
    running = busy(queue, go_on)
    waiting = queue.submit(LANE, "second", lambda _: None)
    assert not queue.closed
    queue.close(grace=0.05)
    assert queue.closed
    with pytest.raises(ClosedError):
        queue.submit(LANE, "third", lambda _: None)
    assert running.answer.result(5) == "stopped: shutdown"
    assert waiting.answer.cancelled()


def test_a_signal_in_the_middle_of_a_submission_does_not_lock_it_up():
    queue = JobQueue(5)
    with queue._lock:  # where a handler on the same thread may find it
        queue.close(grace=60)
    with pytest.raises(ClosedError):
        queue.submit(LANE, "late", lambda _: None)


def test_a_closed_queue_lets_jobs_end_in_peace(go_on):
    queue = JobQueue(5)
    running = busy(queue, go_on)
    queue.close(grace=60)
    go_on.set()
    assert running.answer.result(5) == "done"
