"""The limit on BLAS threads: in force inside, lifted outside, cheap to nest, safe between threads."""

import sys
from threading import Event, Thread
from time import perf_counter
from types import SimpleNamespace

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from querist.kernels import kmeans as kmeans_module, kmeans_lloyd, threads
from querist.kernels.threads import single_threaded_blas


def blas():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_limits_inside_and_restores_outside_also_after_an_error():
    with threadpool_limits(2, user_api="blas"):
        before = blas()
        with single_threaded_blas():
            assert blas() == {1}
            with single_threaded_blas():
                assert blas() == {1}
            assert blas() == {1}
        assert blas() == before
        try:
            with single_threaded_blas():
                raise ZeroDivisionError
        except ZeroDivisionError:
            assert blas() == before


def test_is_a_decorator():
    with threadpool_limits(2, user_api="blas"):
        before = blas()
        assert single_threaded_blas()(blas)() == {1}
        assert blas() == before


def test_holds_until_the_last_thread_leaves():
    entered, leave = Event(), Event()

    def other():
        with single_threaded_blas():
            entered.set()
            leave.wait(10)

    with threadpool_limits(2, user_api="blas"):
        before = blas()
        thread = Thread(target=other)
        with single_threaded_blas():
            thread.start()
            assert entered.wait(10)
        assert blas() == {1}
        leave.set()
        thread.join(10)
        assert blas() == before


def test_outranks_another_thread_that_set_its_own_limit():
    seen = []

    def other():
        with single_threaded_blas():
            seen.append(blas())

    with threadpool_limits(2, user_api="blas"):
        before = blas()
        thread = Thread(target=other)
        thread.start()
        thread.join(10)
        assert seen == [{1}]
        assert blas() == before


def test_a_library_loaded_inside_is_limited_at_the_next_entry(monkeypatch):
    class Late:
        filepath, num_threads = "late.so", 7

        def set_num_threads(self, threads):
            self.num_threads = threads

    late = Late()
    with single_threaded_blas():
        found = SimpleNamespace(select=lambda user_api: SimpleNamespace(lib_controllers=[late]))
        monkeypatch.setattr(threads, "ThreadpoolController", lambda: found)
        monkeypatch.setitem(sys.modules, "a_module_that_brings_a_blas", threads)
        with single_threaded_blas():
            assert late.num_threads == 1
    assert late.num_threads == 7
    monkeypatch.setattr(threads._Limit, "modules", -1)


def test_nested_entry_is_nearly_free():
    with single_threaded_blas():
        start = perf_counter()
        for _ in range(1000):
            with single_threaded_blas():
                pass
        # Entering the limit for real costs about 100 microseconds each time.
        assert (perf_counter() - start) / 1000 < 30e-6


def test_U2_kmeans_multiplies_on_one_thread(monkeypatch):
    seen, absorb = set(), kmeans_lloyd._absorb

    def spy(*args):
        seen.update(blas())
        return absorb(*args)

    monkeypatch.setattr(kmeans_lloyd, "_absorb", spy)
    with threadpool_limits(2, user_api="blas"):
        kmeans_module.kmeans(np.random.default_rng(0).normal(size=(30, 3)), 4, np.random.default_rng(0), iterations=1)
    assert seen == {1}
