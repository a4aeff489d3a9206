"""Calls that take turns."""

import pytest
import timing


@pytest.mark.parametrize(("seconds", "times"), [(0.01, 2), (0.2, 1)])
def test_a_short_call_is_made_twice_and_the_second_counts(
    seconds, times, monkeypatch
):
    monkeypatch.setattr(timing, "REST", 0.0)
    made = []

    def call():
        made.append(seconds + len(made))
        return made[-1] if len(made) % times == 0 else seconds

    found = timing.in_turns({"a": call}, rounds=3, warm=1)
    assert len(made) == 4 * times
    assert found["a"] == made[times - 1 :: times][1:]
