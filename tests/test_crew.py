"""The crew: every part is done once, what goes wrong is told, and threads end."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from horizon_ecs.crew import Crew


def crew_threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("horizon-crew")}


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("n_parts", [0, 1, 2, 3, 7])
def test_every_part_is_done_once(n_threads, n_parts):
    crew, done = Crew(n_threads), []
    for _ in range(50):
        done.clear()
        crew.run(lambda part, thread: done.append((part, thread)), n_parts)
        assert sorted(part for part, _ in done) == list(range(n_parts))
        assert all(0 <= thread < min(n_threads, max(1, n_parts)) for _, thread in done)
    crew.close()


def test_threads_run_at_the_same_time_and_know_their_number():
    crew, meeting, threads = Crew(3), threading.Barrier(3, timeout=60), {}

    def work(part, thread):
        threads[thread] = threading.current_thread()
        meeting.wait()

    crew.run(work, 3)
    assert threads[0] is threading.current_thread()
    assert sorted(threads) == [0, 1, 2]
    assert len(set(threads.values())) == 3
    crew.close()


def test_a_free_thread_takes_what_a_busy_one_would_have_had():
    crew, others_done, done = Crew(2), threading.Event(), []

    def work(part, thread):
        if part == 0:
            assert others_done.wait(60)  # as if its core had been taken away
        done.append(part)
        if len(done) == 7:
            others_done.set()

    crew.run(work, 8)
    assert sorted(done) == list(range(8))
    assert done[-1] == 0
    crew.close()


@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_is_raised_once_all_threads_are_done(bad):
    crew, meeting, done = Crew(2), threading.Barrier(2, timeout=60), []

    def work(part, thread):
        meeting.wait()
        if part == bad:
            raise ValueError(f"part {part}")
        done.append(part)

    with pytest.raises(ValueError, match=f"part {bad}"):
        crew.run(work, 2)
    assert done == [1 - bad]
    crew.run(lambda part, thread: done.append(part), 2)
    assert len(done) == 3
    crew.close()


def test_what_was_worked_on_is_not_kept_alive():
    class Load:
        def part(self, part: int, thread: int) -> None: ...

    crew, load = Crew(2), Load()
    crew.run(load.part, 4)
    kept = weakref.ref(load)
    del load
    gc.collect()
    assert kept() is None
    crew.close()


def test_threads_start_when_needed_and_end_with_the_crew():
    before = crew_threads()
    crew = Crew(4)
    crew.run(lambda part, thread: None, 1)
    assert crew_threads() == before
    crew.run(lambda part, thread: None, 2)
    (thread,) = crew_threads() - before
    crew.close()
    thread.join(60)
    assert not thread.is_alive()
    crew.run(lambda part, thread: None, 4)
    started = crew_threads() - before
    assert len(started) == 3
    del crew
    gc.collect()
    for thread in started:
        thread.join(60)
        assert not thread.is_alive()
