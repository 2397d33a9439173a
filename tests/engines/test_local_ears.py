"""What is told to ears that have no room, by one whose room the test says."""

import asyncio
from collections import deque

from onecopy.engines.local_ears import Ears
from onecopy.testing._engines import until


class Folder:
    """Ears of a folder: each holds so many datagrams; None is gone."""

    def __init__(self, **room: int | None) -> None:
        self.room = room
        self.held: dict[str, deque[list[str]]] = {ear: deque() for ear in room}
        self.tries = 0
        self.ears = Ears(self._send)

    def tell(self, *jobs: str) -> None:
        self.ears.tell(self.room, jobs)

    def take(self, ear: str) -> list[str]:
        """Read all that an ear holds."""
        taken = [job for datagram in self.held[ear] for job in datagram]
        self.held[ear].clear()
        return taken

    def _send(self, ear: str, data: bytes) -> bool | None:
        self.tries += 1
        room = self.room[ear]
        if room is None:
            return None
        if len(self.held[ear]) >= room:
            return False
        self.held[ear].append(data.decode().split("\n"))
        return True


def test_what_there_is_no_room_for_comes_later_together_and_in_order() -> None:
    async def scenario() -> None:
        folder = Folder(ear=2)
        for number in range(50):
            folder.tell(str(number))
        assert folder.take("ear") == ["0", "1"]
        await until(lambda: bool(folder.held["ear"]))
        assert len(folder.held["ear"]) == 1
        assert folder.take("ear") == [str(number) for number in range(2, 50)]
        folder.tell("50")
        assert folder.take("ear") == ["50"]

    asyncio.run(scenario())


def test_one_without_room_keeps_no_other_waiting() -> None:
    async def scenario() -> None:
        folder = Folder(deaf=0, ear=100)
        for number in range(10):
            folder.tell(str(number))
        assert folder.take("ear") == [str(number) for number in range(10)]
        folder.ears.close()

    asyncio.run(scenario())


def test_one_that_is_gone_is_not_tried_again() -> None:
    async def scenario() -> None:
        folder = Folder(gone=None)
        folder.tell("job")
        await asyncio.sleep(0.05)
        assert folder.tries == 1

    asyncio.run(scenario())


def test_one_that_nobody_reads_is_given_up() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        folder = Folder(deaf=0)
        began = loop.time()
        folder.tell("job")
        tries = -1
        while tries != folder.tries:  # The longest pause between two tries is half of this.
            tries = folder.tries
            await asyncio.sleep(0.1)
        assert 5 < tries < 50
        assert loop.time() - began > 1
        folder.room["deaf"] = 10
        folder.tell("another")
        assert folder.take("deaf") == ["another"]

    asyncio.run(scenario())


def test_the_end_says_what_there_is_room_for() -> None:
    async def scenario() -> None:
        folder = Folder(ear=1)
        folder.tell("first")
        folder.tell("second")
        assert folder.take("ear") == ["first"]
        folder.ears.close()
        assert folder.take("ear") == ["second"]

    asyncio.run(scenario())
