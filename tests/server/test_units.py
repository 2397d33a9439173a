import os
import socket
from pathlib import Path

import pytest

from onecopy.errors import BindError
from onecopy.execution.sweeper import mark_of
from onecopy.server import binding, children, narration
from onecopy.server.begun import Begun
from onecopy.server.channel import Channel, Closed, decode, encode
from onecopy.server.scoreboard import MARKS, SLOTS, Scoreboard, create


def test_messages_arrive_whole_in_order_and_with_descriptors() -> None:
    left, right = Channel.pair()
    read, write = os.pipe()
    left.send({"text": "x" * 1000})
    left.send({"numbers": [1, 2]}, [write])
    os.close(write)
    messages: list[dict[str, object]] = []
    while len(messages) < 2:
        messages += right.receive()
    assert messages == [{"text": "x" * 1000}, {"numbers": [1, 2]}]
    (received,) = right.take_fds(1)
    os.write(received, b"through")
    assert os.read(read, 10) == b"through"
    os.close(received)
    os.close(read)
    left.close()
    with pytest.raises(Closed):
        right.receive()
    with pytest.raises(Closed):
        right.send({})
    right.close()


def test_a_message_longer_than_the_buffer_is_not_cut() -> None:
    left, right = Channel.pair()
    left.setblocking(False)
    right.setblocking(False)
    big = {"data": "y" * 150_000}
    assert right.receive() == []
    left.send(big)
    got: list[dict[str, object]] = []
    while not got:
        got = right.receive()
    assert got == [big]
    left.close()
    right.close()


def test_part_of_a_message_waits_for_the_rest() -> None:
    data = encode({"a": 1}) + encode({"b": 2})
    first, rest = decode(data)
    assert first == {"a": 1}
    assert decode(rest[:-1]) == (None, rest[:-1])
    assert decode(rest) == ({"b": 2}, b"")


def test_scoreboard_is_shared_and_ignores_who_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    fd = create()
    mine, theirs = Scoreboard(fd), Scoreboard(fd)
    os.close(fd)
    taken: set[int] = set()
    slots: list[int] = []
    for _ in range(3):
        slots.append(mine.take_slot(taken))
        taken.add(slots[-1])
    assert mine.fewest_connections() is None
    for count, slot in enumerate(slots, start=1):
        mine.set_accepting(slot, True)
        mine.turned(slot)
        mine.set_connections(slot, count)
    assert theirs.fewest_connections() == 1
    theirs.clear(slots[0])
    assert mine.fewest_connections() == 2
    assert mine.last_turn(slots[0]) is None
    assert (mine.last_turn(slots[1]) or 99) < 10
    assert mine.accepting(slots[1])
    monkeypatch.setattr("onecopy.server.scoreboard._STALE_NS", -(10**12))
    assert mine.fewest_connections() is None
    assert not mine.accepting(slots[1])
    with pytest.raises(OverflowError):
        mine.take_slot(set(range(SLOTS)))


def test_marks_of_what_was_begun_outlive_the_worker() -> None:
    fd = create()
    supervisors, workers = Scoreboard(fd), Scoreboard(fd)
    os.close(fd)
    first, second = supervisors.take_slot(set()), supervisors.take_slot({1})
    assert supervisors.marks(first) == []
    begun = Begun(workers, first)
    for token in ("a", "b", "a", "c"):
        begun.begin(token)
    begun.end("b")
    begun.end("never begun")
    assert sorted(supervisors.marks(first) or []) == sorted(map(mark_of, "ac"))
    assert (supervisors.accepted(first), supervisors.marks(second)) == (3, [])
    supervisors.clear(first)
    assert supervisors.take_slot({2}) == first
    assert supervisors.marks(first) == []


def test_more_than_can_be_marked_may_all_have_begun() -> None:
    fd = create()
    scoreboard = Scoreboard(fd)
    os.close(fd)
    slot = scoreboard.take_slot(set())
    begun = Begun(scoreboard, slot)
    for number in range(MARKS):
        begun.begin(str(number))
    assert len(set(scoreboard.marks(slot) or [])) == MARKS
    begun.begin("one more")
    begun.end("0")
    begun.begin("another")
    assert scoreboard.marks(slot) is None


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0.0 MB"), (12_345_678, "12.3 MB"), (999_400_000, "999.4 MB"), (8_480_000_000, "8.48 GB")],
)
def test_bytes_as_people_read_them(count: int, said: str) -> None:
    assert narration.megabytes(count) == said


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (None, "ended"),
        (3 << 8, "exited with code 3"),
        (11, "was killed by SIGSEGV"),
        (9, "was killed by SIGKILL: out of memory, or killed by hand"),
    ],
)
def test_exits_in_words(status: int | None, said: str) -> None:
    assert children.describe_exit(status) == said


def test_every_address_of_a_host_gets_one_port() -> None:
    bound = binding.bind(host="localhost", port=0, uds=None, fd=None, tls=True)
    ports = {sock.getsockname()[1] for sock in bound.sockets}
    assert len(ports) == 1
    assert bound.url == f"https://localhost:{ports.pop()}"
    assert all(sock.proto == socket.IPPROTO_TCP for sock in bound.sockets)
    for sock in bound.sockets:
        sock.close()


def test_ipv6_and_unknown_hosts() -> None:
    with pytest.raises(BindError, match=r"nosuch\.invalid:80"):
        binding.bind(host="nosuch.invalid", port=80, uds=None, fd=None, tls=False)
    if socket.has_ipv6 and Path("/proc/net/if_inet6").exists():
        bound = binding.bind(host="::1", port=0, uds=None, fd=None, tls=False)
        assert bound.url.startswith("http://[::1]:")
        bound.sockets[0].close()


def test_a_datagram_socket_is_no_listener() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wrong,
        pytest.raises(BindError, match="no stream socket"),
    ):
        binding.bind(host="", port=0, uds=None, fd=wrong.fileno(), tls=False)
