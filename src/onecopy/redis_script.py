"""Lua scripts that a Redis server runs in one step: files beside the code that asks for them."""

import hashlib
from importlib.resources import files


class Script:
    """A Lua file, in the folder `redis_scripts` of a package."""

    def __init__(self, package: str, name: str) -> None:
        path = files(package) / "redis_scripts" / f"{name}.lua"
        self.source: str = path.read_text(encoding="utf-8")
        self.digest: str = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def call(self, key: str, *arguments: str | bytes | int) -> tuple[str | bytes | int, ...]:
        """Return the command that runs it; key: one of the hash slot that all its keys are in."""
        return "EVALSHA", self.digest, 1, key, *arguments
