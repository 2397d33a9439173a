"""The file of the SQLite store as one process uses it: one writer at a time, readers beside it.

Writers of all processes take turns by a lock file: the kernel wakes the next one at once (SQLite's
own waiting is sleeping), frees it when its holder is killed, and no two ever checkpoint together.

Nothing here survives a fork. SQLite keeps connections and locks in memory, and a child that
inherits them can neither use nor close them without harm; so before a fork every connection is
closed, and parent and child connect again at their next use.
"""

import fcntl
import os
import sqlite3
import threading
import weakref
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Final

from onecopy.jobs import NotAllowed
from onecopy.stores import sqlite_schema as schema
from onecopy.stores.base import IdempotencyConflict, Outdated, QueueFull, Unavailable
from onecopy.stores.lanes import Lane, Operation, Take
from onecopy.stores.sqlite_group import Group

_REFUSALS: Final = (KeyError, NotAllowed, QueueFull, IdempotencyConflict, Outdated)


class File:
    """The store's file; `write`, `read` and `scan` may be called from any event loop."""

    def __init__(self, path: str, synchronous: str) -> None:
        self._path = path
        self._is_open = False
        self._syncs = synchronous == "full"
        self._turn = _Turn(f"{path}-lock")
        self._writer = _Link(path, self._connect_writer)
        self._reader, self._scanner = (_Link(path, self._connect_reader) for _ in range(2))
        self._writes = Lane("store-write", self._serve_writes)
        self._reads = Lane("store-read", lambda take: self._serve_reads(self._reader, take))
        self._scans = Lane("store-scan", lambda take: self._serve_reads(self._scanner, take))
        with _forking:
            _files.add(self)

    async def open(self) -> None:
        """Make the file unless it is there, and bring its schema up to date. Raises Unavailable."""
        try:
            schema.create(self._path)
        except OSError as error:
            raise schema.unavailable(self._path, error) from error
        await self._writes.do(_nothing)
        self._is_open = True

    def close(self) -> None:
        """Finish what is under way, end the threads and let go of the file; blocks until then."""
        self._is_open = False
        for lane in (self._writes, self._reads, self._scans):
            lane.end()
        for link in self._links:
            with link.in_use:
                link.close()
        self._turn.close()

    def write[T](self, run: Callable[[sqlite3.Cursor, Group], T]) -> Awaitable[T]:
        """Run something in a transaction, which is durable once this is answered.

        It may share the transaction with others, and be run again: so it refuses (`_REFUSALS`)
        before it writes, and has no other effects.
        """
        self._must_be_open()
        return self._writes.do(run)

    def read[T](self, run: Callable[[sqlite3.Cursor], T]) -> Awaitable[T]:
        """Run a read that is over at once."""
        self._must_be_open()
        return self._reads.do(run)

    def scan[T](self, run: Callable[[sqlite3.Cursor], T]) -> Awaitable[T]:
        """Run a read that may take long; it keeps no other one waiting."""
        self._must_be_open()
        return self._scans.do(run)

    def _must_be_open(self) -> None:
        if not self._is_open:
            raise Unavailable(f"the store {self._path} is not open")

    @property
    def _links(self) -> "tuple[_Link, ...]":
        return self._writer, self._reader, self._scanner

    def _connect_writer(self) -> sqlite3.Connection:
        connection = schema.connect(self._path)
        try:
            schema.migrate(connection, self._path)
        except (sqlite3.Error, Unavailable) as error:
            # What runs in a process that is outdated since it has begun is ended there.
            if not (self._is_open and isinstance(error, Outdated)):
                connection.close()
                raise
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = schema.connect(self._path)
        connection.execute("PRAGMA query_only = 1")
        return connection

    def _serve_writes(self, take: Take) -> list[Operation]:
        operations: list[Operation] = []
        undone: list[Operation] = []
        try:
            with self._turn.held(), self._writer.in_use:
                connection = self._writer.connection()
                before = connection.total_changes
                operations = take()
                undone = [*operations]
                if operations and not _written_together(connection, self._path, operations):
                    while undone:
                        _written_together(connection, self._path, undone[:1], careful=True)
                        del undone[0]
                written = connection.total_changes != before
            if written and self._syncs:
                undone = []  # if this fails: all of them
                schema.sync(self._path)
        except Exception as error:
            operations = operations or take()
            self._fail(undone or operations, error, self._writer)
        return operations

    def _serve_reads(self, link: "_Link", take: Take) -> list[Operation]:
        operations: list[Operation] = []
        try:
            with link.in_use:
                connection = link.connection()
                operations = take()
                _read_together(connection, operations)
        except Exception as error:
            operations = operations or take()
            self._fail(operations, error, link)
        return operations

    def _fail(self, operations: Sequence[Operation], error: Exception, link: "_Link") -> None:
        """Say why none of these was done; connect afresh next time: the cause may be gone."""
        with link.in_use:
            link.close()
        if isinstance(error, sqlite3.Error | OSError):
            error = schema.unavailable(self._path, error)
        for operation in operations:
            # One for each caller: an exception keeps the traceback of who raised it.
            operation.error = Unavailable(*error.args) if type(error) is Unavailable else error
            operation.result = None

    def before_fork(self) -> None:
        """Wait until no connection is in use, keep it so, and close all."""
        for link in self._links:
            link.in_use.acquire()
            link.close()
        self._turn.opening.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._turn.opening.release()
        for link in self._links:
            link.in_use.release()

    def after_fork_in_child(self) -> None:
        """Begin with nothing of the parent's."""
        self._turn.opening.release()
        self._turn.close()
        for link in self._links:
            link.in_use = threading.RLock()
        for lane in (self._writes, self._reads, self._scans):
            lane.begin_anew()


def _nothing(_cursor: sqlite3.Cursor, _group: Group) -> None:
    """Begin and end a transaction."""


def _read_together(connection: sqlite3.Connection, operations: Sequence[Operation]) -> None:
    """Do all on one view of the data. Raises what the file is to blame for."""
    with closing(connection.cursor()) as cursor:
        cursor.execute("BEGIN")
        for operation in operations:
            try:
                operation.result = operation.run(cursor)
            except Exception as error:
                if _is_fault(error):
                    raise
                operation.error = error.with_traceback(None)
        cursor.execute("COMMIT")


def _is_fault(error: Exception) -> bool:
    """Whether the file or the disk is to blame, and not what was to be done."""
    # Damage is a DatabaseError itself; its other subclasses are about one statement's values.
    faults = sqlite3.OperationalError | OSError | Unavailable
    return type(error) is sqlite3.DatabaseError or isinstance(error, faults)


def _written_together(
    connection: sqlite3.Connection,
    path: str,
    operations: Sequence[Operation],
    *,
    careful: bool = False,
) -> bool:
    """Do all in one transaction; return False, with nothing done, if one may have spoilt it.

    careful: it is the only one, and whatever spoils it is its own error. Raises what the file is to
    blame for.
    """
    try:
        with closing(connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            group = Group(cursor, path, careful=careful)
            for operation in operations:
                before = group.size
                operation.error = None
                try:
                    operation.result = operation.run(cursor, group)
                except _REFUSALS as error:
                    if group.size != before:
                        raise
                    operation.error = error.with_traceback(None)
            group.write()
            cursor.execute("COMMIT")
    except Exception as error:
        _roll_back(connection)
        if _is_fault(error):
            raise
        if not careful:
            return False
        operations[0].error = error.with_traceback(None)
    return True


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:  # some faults roll back by themselves
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


class _Turn:
    """The lock file: whose turn it is to write, among all threads and processes of the host."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None
        self.opening = threading.Lock()
        """Held while the file is opened; a fork waits, so that the child knows what to close."""

    @contextmanager
    def held(self) -> Generator[None]:
        """Wait for the turn, without polling, and hold it. Raises OSError."""
        descriptor = self._locked()
        try:
            yield
        finally:
            # Not by closing it: a child forked meanwhile has the same open file.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _locked(self) -> int:
        while True:
            with self.opening:
                if self._descriptor is None:
                    self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if self._is_current(self._descriptor):
                return self._descriptor
            self.close()

    def _is_current(self, descriptor: int) -> bool:
        """Whether others find the same file by its name: it may have been deleted, or replaced."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Let go of the file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class _Link:
    """A connection to the file at a path, made when it is used."""

    def __init__(self, path: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._file: os.stat_result | None = None
        self.in_use = threading.RLock()
        """Held by whoever uses the connection; a fork waits for it."""

    def connection(self) -> sqlite3.Connection:
        """Return the connection; the caller holds `in_use`.

        Raises OSError if the file is gone: what is written to a deleted file is lost.
        """
        file = os.stat(self._path)
        if self._file is None or not os.path.samestat(file, self._file):
            self.close()
        if self._connection is None:
            self._connection = self._connect()
            self._file = file
        return self._connection

    def close(self) -> None:
        """Close the connection; the next use makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


_files: Final[weakref.WeakSet[File]] = weakref.WeakSet()
_forking: Final = threading.Lock()


def _before_fork() -> None:
    _forking.acquire()
    for file in _files:
        file.before_fork()


def _after_fork_in_parent() -> None:
    for file in _files:
        file.after_fork_in_parent()
    _forking.release()


def _after_fork_in_child() -> None:
    for file in _files:
        file.after_fork_in_child()
    _forking.release()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
