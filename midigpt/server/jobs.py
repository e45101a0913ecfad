"""The queue in front of the models: jobs run in the order they came, the others wait.

Everything here may be called from any thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from midigpt.errors import MidiGPTError

if TYPE_CHECKING:
    from collections.abc import Callable

    from midigpt.server.results import CancelReason

logger = logging.getLogger("midigpt")

T = TypeVar("T")


class QueueFullError(Exception):
    """As many jobs as allowed are waiting or running."""


class DuplicateJobError(Exception):
    """A job of this id is waiting or running."""


class ClosedError(Exception):
    """The queue takes no more jobs."""


class Lane:
    """The threads of one model, and the jobs that wait for one of them.

    Args:
        parallel: jobs that run at a time; the others wait in the order they came.

    Attributes:
        parallel: as given.
        threads: where they run.
    """

    def __init__(self, parallel: int = 1) -> None:
        self.parallel = parallel
        self.threads = ThreadPoolExecutor(parallel, thread_name_prefix="model")
        # not the line of the executor: there is no leaving that one
        self._line: deque[Job[Any]] = deque()

    def join(self, job: Job[Any]) -> None:
        """Line up; the job runs when its turn has come."""
        self._line.append(job)
        self.threads.submit(self._run_next)

    def leave(self, job: Job[Any]) -> None:
        """Give up a place in line; nothing happens if there is none."""
        with suppress(ValueError):
            self._line.remove(job)

    def _run_next(self) -> None:
        try:
            job = self._line.popleft()
        except IndexError:  # it was called once for each job that came, but some have left
            return
        job.run()


class Job(Generic[T]):
    """Work that waits for its turn, runs, or has ended.

    Once it has ended it holds on to its answer and to nothing else: not to what it worked with, nor
    to who was told.

    Args:
        id_: its name, unique among the jobs that have not ended.
        lane: where it runs.
        work: called with this job when its turn comes.
        ended: called with this job when its answer is there, on any thread.
        seconds: how long it may run; 0 for as long as it takes.

    Attributes:
        id: as given.
        lane: as given.
        stop: set when the work should stop; running work looks at it between tokens.
        reason: why it should stop; None as long as it should not.
        answer: what the work returns or raises; cancelled if it never ran.
        waited: seconds it waited for its turn; 0 until then.
    """

    def __init__(
        self,
        id_: str,
        lane: Lane,
        work: Callable[[Job[T]], T],
        ended: Callable[[Job[T]], None],
        seconds: float = 0,
    ) -> None:
        self.id = id_
        self.lane = lane
        self.stop = threading.Event()
        self.reason: CancelReason | None = None
        self.answer: Future[T] = Future()
        self.waited = 0.0
        self._work = [work]
        self._ended = [ended]
        self._seconds = seconds
        self._admitted = time.monotonic()

    @property
    def waiting(self) -> bool:
        """Whether its turn has not come."""
        return not (self.answer.running() or self.answer.done())

    def cancel(self, reason: CancelReason) -> None:
        """Stop the work; if it is still waiting it ends here and now. The first reason stays."""
        if self.answer.done():
            return
        self.reason = self.reason or reason
        self.stop.set()
        if self.answer.cancel():
            self.lane.leave(self)
            self._end()

    def run(self) -> None:
        """Do the work, unless it was cancelled; called when it is this job's turn."""
        if not self.answer.set_running_or_notify_cancel():
            return
        self.waited = time.monotonic() - self._admitted
        try:
            answer = self._worked()
        except MidiGPTError as error:
            # its traceback tells nobody anything, and would hold all that the work held
            self.answer.set_exception(error.with_traceback(None))
        except BaseException as error:  # noqa: BLE001 - told to those who wait for the answer
            self.answer.set_exception(error)
        else:
            self.answer.set_result(answer)
        self._end()

    def _worked(self) -> T:
        work = self._work.pop()
        if not self._seconds:
            return work(self)
        limit = _timer(self._seconds, partial(self.cancel, "time_limit"))
        try:
            return work(self)
        finally:
            limit.cancel()

    def _end(self) -> None:
        self._work.clear()
        try:
            ended = self._ended.pop()
        except IndexError:  # another thread was first to cancel it
            return
        try:
            ended(self)
        except Exception:  # nobody else would be told, and the next job is not to blame
            logger.exception("unexpected error")


class JobQueue:
    """Jobs of all models. Each model has a lane; lanes do not wait for each other.

    Args:
        limit: most jobs that may wait or run at the same time.
        seconds: how long a job may run; 0 for as long as it takes.
    """

    def __init__(self, limit: int, seconds: float = 0) -> None:
        self.limit = limit
        self._seconds = seconds
        self._jobs: dict[str, Job[Any]] = {}
        self._closed = False
        # entered again when a signal that closes the queue interrupts a submission
        self._lock = threading.RLock()

    @property
    def inflight(self) -> int:
        """Jobs waiting and running."""
        return len(self._jobs)

    @property
    def waiting(self) -> int:
        """Jobs whose turn has not come."""
        return sum(job.waiting for job in list(self._jobs.values()))

    @property
    def closed(self) -> bool:
        """Whether the queue takes no more jobs."""
        return self._closed

    def submit(
        self,
        lane: Lane,
        id_: str,
        work: Callable[[Job[T]], T],
        ended: Callable[[Job[T]], None] = lambda _: None,
    ) -> Job[T]:
        """Line up; the work is called with its job on one of the lane's threads.

        Args:
            lane: where to line up.
            id_: name of the job.
            work: returns the job's answer.
            ended: called with the job when its answer is there and its place is free again, on the
                thread that ended it: the lane's, or the one that cancelled it.

        Raises:
            ClosedError: the queue takes no more jobs.
            QueueFullError: as many jobs as allowed are in it.
            DuplicateJobError: one of this id is in it.
        """

        def leave(job: Job[T]) -> None:
            del self._jobs[id_]
            ended(job)

        job: Job[T] = Job(id_, lane, work, leave, self._seconds)
        with self._lock:
            if self._closed:
                raise ClosedError
            if len(self._jobs) >= self.limit:
                raise QueueFullError
            if id_ in self._jobs:
                raise DuplicateJobError
            self._jobs[id_] = job
            lane.join(job)
        return job

    def position(self, job: Job[Any]) -> int:
        """The place of a job in the line before its lane, from 1; 0 if it need not wait."""
        lane = [other for other in list(self._jobs.values()) if other.lane is job.lane]
        return max(0, lane.index(job) + 1 - job.lane.parallel) if job in lane else 0

    def cancel(self, id_: str, reason: CancelReason) -> bool:
        """Cancel the job of that id; whether there was one."""
        job = self._jobs.get(id_)
        if job is None:
            return False
        job.cancel(reason)
        return True

    def close(self, grace: float) -> None:
        """Take no more jobs, and cancel those that are left after ``grace`` seconds."""
        with self._lock:
            self._closed = True
        _timer(grace, partial(self._cancel_all, "shutdown"))

    def _cancel_all(self, reason: CancelReason) -> None:
        for job in list(self._jobs.values()):
            job.cancel(reason)


def _timer(seconds: float, call: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
    return timer
