"""How long a job takes, as a multiple of another: a machine that is slow or busy is so at both."""

import time
from collections.abc import Callable


def times_as_long(job: Callable[[], object], peer: Callable[[], object], *, tries: int = 7) -> float:
    """The best of several runs of `job` over the best of `peer`, in turn, in processor time of this process alone."""
    job_best = peer_best = float("inf")
    for _ in range(tries):
        job_best = min(job_best, processor_seconds(job))
        peer_best = min(peer_best, processor_seconds(peer))
    return job_best / peer_best


def processor_seconds(job: Callable[[], object]) -> float:
    started = time.process_time()
    job()
    return time.process_time() - started
