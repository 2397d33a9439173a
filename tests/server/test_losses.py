"""Losses of job workers are kept until one has recorded them."""

from collections.abc import Callable, Generator

import pytest

from onecopy.server.channel import Channel
from onecopy.server.losses import MOST, Losses


class Recorder:
    """A job worker, as far as losses go: the two ends of its channel."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._ours, self._its = Channel.pair()
        self._its.setblocking(False)
        losses.join(self._ours)

    def told(self) -> list[tuple[str, str]]:
        """What it was told since it was asked last."""
        return [(each["worker"], each["reason"]) for each in self._its.receive()]

    def answer(self, worker: str) -> None:
        self._losses.recorded(self._ours, worker)

    def die(self) -> None:
        self._its.close()

    def reap(self) -> None:
        """Have the supervisor notice that it died."""
        self._losses.leave(self._ours)
        self._ours.close()


@pytest.fixture
def losses() -> Losses:
    return Losses()


@pytest.fixture
def recorder(losses: Losses) -> Generator[Callable[[], Recorder]]:
    """Makes job workers, and ends them after the test."""
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder(losses))
        return made[-1]

    yield make
    for each in made:
        each.die()
        each.reap()


def test_a_loss_outlives_those_who_were_told_and_killed_before_they_answered(
    losses: Losses, recorder: Callable[[], Recorder]
) -> None:
    stuck, dying = recorder(), recorder()
    dying.die()
    losses.add("first", "killed: its time was over", [7])
    assert stuck.told() == [("first", "killed: its time was over")]
    dying.reap()
    stuck.die()
    stuck.reap()
    losses.add("second", "exited", None)
    successor = recorder()
    assert successor.told() == [("first", "killed: its time was over")]
    successor.answer("first")
    assert successor.told() == [("second", "exited")]
    successor.answer("second")
    assert successor.told() == []
    assert recorder().told() == []


def test_what_one_has_recorded_is_told_to_nobody_else(
    losses: Losses, recorder: Callable[[], Recorder]
) -> None:
    stuck, quick = recorder(), recorder()
    for name in ("a", "b", "c"):
        losses.add(name, "gone", [])
    for name in ("a", "b", "c"):
        assert quick.told() == [(name, "gone")]
        quick.answer(name)
    assert stuck.told() == [("a", "gone")], "it has not answered: nothing more is sent to it"
    stuck.answer("a")
    assert stuck.told() == []


def test_losses_that_nobody_records_are_bounded(
    losses: Losses, recorder: Callable[[], Recorder]
) -> None:
    for number in range(MOST + 10):
        losses.add(str(number), "gone", [])
    late = recorder()
    seen: list[str] = []
    while told := late.told():
        ((name, _),) = told
        seen.append(name)
        late.answer(name)
    assert seen == [str(number) for number in range(10, MOST + 10)]
