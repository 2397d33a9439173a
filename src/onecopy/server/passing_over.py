"""Which tasks a job worker claims no jobs of, for now: unknown ones, and those at their bound."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from onecopy.tasks import Task


class PassingOver:
    """Counts the attempts of each task that has a `concurrency` of its own."""

    def __init__(self, tasks: Mapping[str, Task[..., Any]]) -> None:
        bounds = {name: task.declared.concurrency for name, task in tasks.items()}
        self._bounds = {name: bound for name, bound in bounds.items() if bound is not None}
        self._running: Counter[str] = Counter()
        self._unknown: list[str] = []

    @property
    def tasks(self) -> list[str]:
        """The tasks whose jobs are to be passed over by a claim now."""
        full = [name for name, bound in self._bounds.items() if self._running[name] >= bound]
        return self._unknown + full

    def most(self, limit: int) -> int:
        """Return how many jobs may be claimed at once, so that no task gets over its bound."""
        room = [bound - self._running[name] for name, bound in self._bounds.items()]
        return min([limit, *(each for each in room if each > 0)])

    def learn(self, task: str) -> bool:
        """Note that a task is not known here; return whether that is news."""
        if task in self._unknown:
            return False
        self._unknown.append(task)
        return True

    def begin(self, task: str) -> None:
        """Note that an attempt of a task was claimed."""
        if task in self._bounds:
            self._running[task] += 1

    def end(self, task: str) -> bool:
        """Note that an attempt of a task has left; return whether it is not full any more."""
        if task not in self._bounds:
            return False
        self._running[task] -= 1
        return self._running[task] == self._bounds[task] - 1
