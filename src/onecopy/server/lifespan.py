"""The lifespan run once, in the image, before the seal (`--lifespan image`).

Start-up runs on a loop of the image; the task that waits for the shutdown stays suspended while
workers are forked, each of which gets the `state` that start-up left. At the end the image resumes
the loop for the shutdown.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from uvicorn import Config
from uvicorn.lifespan.on import LifespanOn

from onecopy.errors import LifespanFailed, NotInheritable
from onecopy.server.open_resources import OpenResources


def inherited(state: dict[str, Any]) -> type:
    """Return a lifespan class for workers: it has happened, and this is the state it left."""

    class InheritedLifespan:
        should_exit = False

        def __init__(self, config: Config) -> None:
            self.state = state

        async def startup(self) -> None:
            """Nothing is left to do."""

        async def shutdown(self) -> None:
            """The image does it, once."""

    return InheritedLifespan


class ImageLifespan:
    """Holds the loop and the suspended lifespan task of the image.

    A worker must keep its copy and never close it: the loop's epoll instance is the image's too.
    """

    def __init__(self, config: Config) -> None:
        factory = config.get_loop_factory()
        self._loop = factory() if factory is not None else asyncio.new_event_loop()
        self._lifespan = LifespanOn(config)

    def start(self) -> dict[str, Any]:
        """Run start-up and return the state that it left.

        Raises:
            LifespanFailed: start-up failed; uvicorn has logged why.
            NotInheritable: it left something open that a forked worker cannot use.
        """
        executor = ThreadPoolExecutor(thread_name_prefix="lifespan")
        self._loop.set_default_executor(executor)
        self._loop.run_until_complete(asyncio.sleep(0))  # So that the loop's own things are there.
        before = OpenResources.look(self._loop)
        self._loop.run_until_complete(self._lifespan.startup())
        if self._lifespan.should_exit:
            raise LifespanFailed
        executor.shutdown()  # No thread of it may be alive at the fork; a new one starts none yet.
        self._loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="lifespan"))
        left = OpenResources.look(self._loop).since(before)
        if left:
            raise NotInheritable(left)
        return self._lifespan.state

    def stop(self) -> None:
        """Run the shutdown; uvicorn logs what goes wrong."""
        self._loop.run_until_complete(self._lifespan.shutdown())
        self._loop.close()
