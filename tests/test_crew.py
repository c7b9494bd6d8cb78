"""The crew: every part is done once, what goes wrong is told, and threads end."""

from __future__ import annotations

import gc
import threading

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
        crew.run(done.append, n_parts)
        assert sorted(done) == list(range(n_parts))
    crew.close()


def test_part_0_is_the_callers_and_others_run_at_the_same_time():
    crew, meeting, threads = Crew(3), threading.Barrier(3, timeout=60), {}

    def work(part):
        threads[part] = threading.current_thread()
        meeting.wait()

    crew.run(work, 3)
    assert threads[0] is threading.current_thread()
    assert len(set(threads.values())) == 3
    crew.close()


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_an_error_is_raised_once_all_are_done(bad):
    crew, done = Crew(2), []

    def work(part):
        if part == bad:
            raise ValueError(f"part {part}")
        done.append(part)

    with pytest.raises(ValueError, match=f"part {bad}"):
        crew.run(work, 2 + (bad == 2))
    crew.run(done.append, 2)
    assert {0, 1} <= set(done)
    crew.close()


def test_threads_start_when_needed_and_end_with_the_crew():
    before = crew_threads()
    crew = Crew(4)
    crew.run(lambda part: None, 1)
    assert crew_threads() == before
    crew.run(lambda part: None, 2)
    (thread,) = crew_threads() - before
    crew.close()
    thread.join(60)
    assert not thread.is_alive()
    crew.run(lambda part: None, 4)
    started = crew_threads() - before
    assert len(started) == 3
    del crew
    gc.collect()
    for thread in started:
        thread.join(60)
        assert not thread.is_alive()
