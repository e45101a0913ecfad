"""The queue in front of the model: one job runs, the others wait in the order they came.

Everything here may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
CancelReason = Literal["client", "time_limit", "disconnect", "shutdown"]


class QueueFullError(Exception):
    """As many jobs as allowed are waiting or running."""


class DuplicateJobError(Exception):
    """A job of this id is waiting or running."""


class ClosedError(Exception):
    """The queue takes no more jobs."""


class Job(Generic[T]):
    """Work that waits for its turn, runs, or has ended.

    Args:
        id_: its name, unique among the jobs that have not ended.
        work: called with this job when its turn comes.

    Attributes:
        id: as given.
        stop: set when the work should stop; running work looks at it between tokens.
        reason: why it should stop; None as long as it should not.
        answer: what the work returns or raises; cancelled if it never ran.
        waited: seconds it waited for its turn; 0 until then.
    """

    def __init__(self, id_: str, work: Callable[[Job[T]], T]) -> None:
        self.id = id_
        self._work: Callable[[Job[T]], T] | None = work
        self.stop = threading.Event()
        self.reason: CancelReason | None = None
        self.answer: Future[T]
        self.waited = 0.0
        self._admitted = time.monotonic()

    def cancel(self, reason: CancelReason) -> None:
        """Stop the work; if it is still waiting it ends here and now. The first reason stays."""
        self.reason = self.reason or reason
        self.stop.set()
        if self.answer.cancel():
            # its place in line is kept until its turn, but not the music that came with it
            self._work = None

    def run(self) -> T:
        """Do the work; called when it is this job's turn, once."""
        self.waited = time.monotonic() - self._admitted
        work, self._work = self._work, None
        if work is None:
            raise RuntimeError("a job runs only once, and not after it was cancelled")
        return work(self)


class JobQueue:
    """Jobs for the one thread that owns the model.

    Args:
        limit: most jobs that may wait or run at the same time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._jobs: dict[str, Job[Any]] = {}
        self._closed = False
        # entered again when a signal that closes the queue interrupts a submission
        self._lock = threading.RLock()

    @property
    def inflight(self) -> int:
        """Jobs waiting and running."""
        return len(self._jobs)

    def first(self, work: Callable[[], T]) -> Future[T]:
        """Do something on the model's thread ahead of the jobs; it counts as none."""
        return self._model_thread.submit(work)

    def submit(self, id_: str, work: Callable[[Job[T]], T]) -> Job[T]:
        """Line up; the work is called with its job on the model's thread.

        Raises:
            ClosedError: the queue takes no more jobs.
            QueueFullError: as many jobs as allowed are in it.
            DuplicateJobError: one of this id is in it.
        """
        job: Job[T] = Job(id_, work)
        with self._lock:
            if self._closed:
                raise ClosedError
            if len(self._jobs) >= self.limit:
                raise QueueFullError
            if id_ in self._jobs:
                raise DuplicateJobError
            job.answer = self._model_thread.submit(job.run)
            self._jobs[id_] = job
        job.answer.add_done_callback(lambda _answer: self._jobs.pop(id_))
        return job

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
        timer = threading.Timer(grace, partial(self._cancel_all, "shutdown"))
        timer.daemon = True
        timer.start()

    def _cancel_all(self, reason: CancelReason) -> None:
        for job in list(self._jobs.values()):
            job.cancel(reason)
