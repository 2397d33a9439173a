"""Lua scripts that a Redis server runs in one step: files beside the code that asks for them."""

import hashlib
from importlib.resources import files


class Script:
    """A Lua file, in the folder `redis_scripts` of a package.

    rings: `ringing.lua` goes before it, which both store and engine wake workers by. after: the
    name of another one of the package that goes before it.
    """

    def __init__(
        self, package: str, name: str, *, rings: bool = False, after: str | None = None
    ) -> None:
        before = _text("onecopy", "ringing") if rings else ""
        before += _text(package, after) if after else ""
        self.source: str = before + _text(package, name)
        self.digest: str = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def call(self, key: str, *arguments: str | bytes | int) -> tuple[str | bytes | int, ...]:
        """Return the command that runs it; key: one of the hash slot that all its keys are in."""
        return "EVALSHA", self.digest, 1, key, *arguments


def _text(package: str, name: str) -> str:
    return (files(package) / "redis_scripts" / f"{name}.lua").read_text(encoding="utf-8")
