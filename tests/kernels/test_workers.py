"""Workers: one unless raised, for the calling thread only, and blocks that do not depend on their number."""

from threading import Barrier, Event, Thread, get_ident
from time import sleep

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from querist.kernels.workers import each_block, workers
from querist.progress import listening


def blocks(n, size):
    seen = []
    each_block(lambda block: seen.append((block.start, block.stop)), n, size)
    return sorted(seen)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_blocks_cover_everything_once_whatever_the_number_of_workers(count):
    with workers(count):
        assert blocks(10, 4) == [(0, 4), (4, 8), (8, 10)]
        assert blocks(8, 4) == [(0, 4), (4, 8)]
        assert blocks(0, 4) == []


def test_one_thread_unless_raised_and_again_afterwards():
    seen = set()
    each_block(lambda _: seen.add(get_ident()), 20, 1)
    assert seen == {get_ident()}
    with pytest.raises(ZeroDivisionError), workers(3):
        each_block(lambda block: 1 / block.start, 20, 1)
    seen.clear()
    each_block(lambda _: seen.add(get_ident()), 20, 1)
    assert seen == {get_ident()}


def test_workers_run_at_the_same_time_and_leave_other_threads_alone():
    first, second = Event(), Event()
    nested = []

    def work(block):
        mine, other = (first, second) if block.start == 0 else (second, first)
        mine.set()
        assert other.wait(10)
        inner = set()
        each_block(lambda _: (inner.add(get_ident()), sleep(0.005)), 4, 1)
        nested.append(len(inner))

    with workers(2):
        each_block(work, 2, 1)
        seen = set()
        thread = Thread(target=lambda: each_block(lambda _: seen.add(get_ident()), 9, 1))
        thread.start()
        thread.join(10)
        assert len(seen) == 1
    assert nested == [1, 1]


def test_U2_products_in_blocks_stay_on_one_thread():
    limits = set()

    def work(_):
        np.eye(2) @ np.eye(2)
        limits.update(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")

    with workers(2):
        each_block(work, 4, 1)
    assert limits == {1}


@pytest.mark.parametrize("count", [1, 3])
def test_work_with_a_name_tells_how_far_it_is_in_the_thread_that_called(count):
    heard, threads, together = [], set(), Barrier(count)

    def work(_):
        if get_ident() not in threads:
            threads.add(get_ident())
            together.wait(10)  # so that every thread has a block

    with workers(count), listening(lambda *news: heard.append((*news, get_ident()))):
        each_block(work, 9, 2, what="comparing rows")
        told = len(heard)
        each_block(lambda _: None, 9, 2)
    assert len(threads) == count
    assert len(heard) == told >= 2
    assert {(what, total, thread) for what, _, total, thread in heard} == {("comparing rows", 9, get_ident())}
    done = [done for _, done, _, _ in heard]
    assert done == sorted(done)
    assert done[-1] == 9
    assert count > 1 or done == [2, 4, 6, 8, 9]
