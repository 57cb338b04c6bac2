"""How many threads BLAS takes in a process that decides texts, and while a model is fitted."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from backend.assembly import Assembly
from backend.core.settings import Settings
from backend.models.threads import all_threads


@pytest.fixture(autouse=True)
def afterwards_as_before() -> Iterator[None]:
    with threadpool_limits(limits=None, user_api="blas"):  # remembers, and changes nothing
        yield


def blas_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_who_assembles_pipelines_decides_with_one_thread() -> None:
    Assembly(Settings())
    assert blas_threads() == {1}


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_fitting_takes_every_core_and_gives_them_back() -> None:
    Assembly(Settings())
    with all_threads():
        assert blas_threads() == {os.cpu_count()}
    assert blas_threads() == {1}
