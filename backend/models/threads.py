"""How many threads linear algebra takes: one where texts are decided, all where a model is fitted.

A chunk of texts takes a millisecond of it. BLAS shares even that among its threads, and each waits for the others by
spinning: beside an embedder that has the cores, or any other process, a prediction cost twice to six times as much.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


def one_thread() -> None:
    """Let BLAS, in all of this process, work in the thread that calls it."""
    threadpool_limits(limits=1, user_api="blas")


@contextmanager
def all_threads() -> Iterator[None]:
    """Let it take every core in the block, for large matrices; other threads of the process do so meanwhile."""
    with threadpool_limits(limits=os.cpu_count(), user_api="blas"):
        yield
