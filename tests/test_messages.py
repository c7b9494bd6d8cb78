"""What travels besides fields: random worlds whose entities speak, every observer held to what brute force says it is told."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horizon_ecs import kernel
from tests.speech import SPEECH, Speaking
from tests.streams import play

COMPILED = kernel.jit_enabled()
N_EXAMPLES, N_TICKS = (10, 80) if COMPILED else (1, 15)
examples = settings(
    max_examples=N_EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


def crowd(stage: Speaking, n: int = 8) -> Speaking:
    for kind in range(len(stage.kinds)):
        stage.spawn(kind, n, 50.0)
    return stage


@examples
@given(
    seed=st.integers(0, 2**32 - 1),
    hysteresis=st.sampled_from([0.0, 0.1, 1.0]),
    max_followed=st.sampled_from([3, 16, 64]),
    n_threads=st.sampled_from([1, 2]),
)
def test_followers_are_told_what_brute_force_says(seed, hysteresis, max_followed, n_threads):
    stage = crowd(Speaking(seed=seed, hysteresis=hysteresis, max_followed=max_followed, n_threads=n_threads))
    stage.watch()
    play(stage, N_TICKS, *SPEECH)
    assert stage.ever_told > 0
    assert stage.ever_sent > 0
