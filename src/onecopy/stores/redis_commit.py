"""What is written in one step, if nothing has changed since it was read."""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw, msgpack

type Value = str | Raw | int
type Command = list[Value]
type Condition = list[Value | bool]

_encode: Final = msgpack.Encoder().encode


def as_text(value: bytes) -> Raw:
    """Return bytes as a script's MessagePack has them: a text, whose bytes may be any."""
    size = len(value)
    if size < 32:
        head = bytes([0xA0 | size])
    elif size < 0x10000:
        head = b"\xda" + size.to_bytes(2)
    else:
        head = b"\xdb" + size.to_bytes(4)
    return Raw(head + value)


class Commit:
    """Commands of `commit.lua`, which runs all of them or none."""

    def __init__(self) -> None:
        self._conditions: list[Condition] = []
        self._steps: list[Command] = []
        self._counts: list[Command] = []
        self._orders: list[str] = []
        self._heads: dict[tuple[str, str, str], str | None] = {}

    def require(self, answer: Value | bool, *command: Value) -> None:
        """Do nothing unless a command answers this; False: nothing is there."""
        self._conditions.append([answer, *command])

    def do(self, *command: Value) -> None:
        """Run a command."""
        self._steps.append([*command])

    def count(self, key: str, field: str, added: int) -> None:
        """Add to a field of a hash."""
        if added:
            self._counts.append([key, field, added])

    def head(self, zset: str, parent: str, member: str, score: str | None = None) -> None:
        """Have a member in a sorted set while another one, of which it is the name, is not empty.

        score: None for that of the other one's first.
        """
        self._heads[zset, parent, member] = score

    def settle(self, order: str) -> None:
        """Hold all queued jobs of an order but the one whose turn it is, after all else."""
        if order not in self._orders:
            self._orders.append(order)

    def remark(
        self, old: Mapping[tuple[str, str], str], new: Mapping[tuple[str, str], str]
    ) -> None:
        """Bring members of sorted sets from old scores to new ones."""
        for key, member in old.keys() - new.keys():
            self.do("ZREM", key, member)
        for (key, member), score in new.items():
            if old.get((key, member)) != score:
                self.do("ZADD", key, score, member)

    def packed(self) -> bytes:
        """Return what the script is given."""
        heads = [[*head, score or False] for head, score in self._heads.items()]
        return _encode([self._conditions, self._steps, self._counts, heads, self._orders])
