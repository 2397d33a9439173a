"""The database file of the SQLite store: made, migrated, opened, and what can go wrong with it.

All processes of a host may open the file at once: whoever migrates or checkpoints it holds the
lock file, so no two of them ever do.
"""

import errno
import os
import sqlite3
from typing import Final

from onecopy.stores.base import Outdated, Unavailable
from onecopy.stores.sqlite_tables import MIGRATIONS, packed

OURS: Final = 0x6F6E6370  # "oncp": tells our file from another program's

_FULL: Final = "the disk is full: make room, nothing else needs to be done"
_RIGHTS: Final = "it may not be written to: give this user the right to, or name another file"
_GONE: Final = "it is gone: put it back, or start again with an empty store"

_CURES: Final = (
    ("SQLITE_FULL", _FULL),
    ("SQLITE_READONLY", _RIGHTS),
    ("SQLITE_PERM", _RIGHTS),
    ("SQLITE_CANTOPEN", "it cannot be opened: see that its folder is there and may be written to"),
    ("SQLITE_NOTADB", "it is no SQLite database: move it away, or name another file"),
    ("SQLITE_CORRUPT", "it is damaged: move it and its -wal file away, `sqlite3 FILE .recover`"),
    ("SQLITE_BUSY", "another program holds it: end whatever else has the file open"),
    ("SQLITE_IOERR", "the disk failed to read or write: see the kernel's log"),
)

_CURES_OF_CALLS: Final = {
    errno.ENOENT: _GONE,
    errno.ENOTDIR: "its folder is no folder: name another file",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EMFILE: "this process has too many files open: raise its limit (ulimit -n)",
}


def unavailable(path: str, error: sqlite3.Error | OSError) -> Unavailable:
    """Say what is wrong with the file, and the cure."""
    if isinstance(error, OSError):
        words = _CURES_OF_CALLS.get(error.errno or 0, "see the cause")
    else:
        name = getattr(error, "sqlite_errorname", "")
        words = next((words for start, words in _CURES if name.startswith(start)), "see the cause")
    return Unavailable(f"the store {path} cannot be used: {words} ({error})")


SYNCHRONOUS: Final = ("full", "normal")
_sync_data: Final = getattr(os, "fdatasync", os.fsync)


def create(path: str) -> None:
    """Make the file, and its folder, for this user alone. Raises OSError."""
    os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def sync(path: str) -> None:
    """Bring to the disk what was committed. Raises OSError.

    This is what `synchronous=FULL` does in a commit: to sync the -wal file, into which commits go.
    Here others need not wait for the disk meanwhile, since the lock file is free again. If another
    has moved what was committed from there into the file itself, it has synced that, as it does
    with `synchronous=NORMAL` too.
    """
    try:
        descriptor = os.open(f"{path}-wal", os.O_RDONLY)
    except FileNotFoundError:  # all of it was moved
        return
    try:
        _sync_data(descriptor)
    finally:
        os.close(descriptor)


def connect(path: str) -> sqlite3.Connection:
    """Open a file that exists. Raises sqlite3.Error."""
    # As a URI with mode=rw: a file that has vanished is an error, not an empty store.
    name = "file:" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23") + "?mode=rw"
    connection = sqlite3.connect(
        name,
        uri=True,
        timeout=10,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        # Checkpoints happen in commits only, under the lock file: two at a time can damage the
        # file in SQLite before 3.51.3 (its "WAL-reset bug"), and the last connection closes often.
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
        connection.execute("PRAGMA synchronous = NORMAL")  # what is more is done by `sync`
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the schema up to date; the caller holds the lock file.

    Raises sqlite3.Error; Unavailable if the file is not ours; Outdated if it is newer than this
    code.
    """
    ours = _number(connection, "PRAGMA application_id") == OURS
    if not ours and _number(connection, "SELECT count(*) FROM sqlite_master") > 0:
        raise Unavailable(f"{path} is another program's database: name another file as the store")
    found = version(connection)
    if found == len(MIGRATIONS):
        return
    must_be_known(found, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.create_function("packed", -1, packed)
    script = "".join(MIGRATIONS[found:])
    connection.executescript(
        f"BEGIN IMMEDIATE; {script} PRAGMA application_id = {OURS}; "
        f"PRAGMA user_version = {len(MIGRATIONS)}; COMMIT"
    )


def version(connection: sqlite3.Connection) -> int:
    """Return that of the schema."""
    return _number(connection, "PRAGMA user_version")


def must_be_known(found: int, path: str) -> None:
    """Raise Outdated if a version of the schema is newer than this code."""
    if found > len(MIGRATIONS):
        raise Outdated(
            f"the store {path} was written by a newer onecopy (schema {found}, this one knows "
            f"{len(MIGRATIONS)}): upgrade onecopy here, or name another store"
        )


def _number(connection: sqlite3.Connection, question: str) -> int:
    return connection.execute(question).fetchone()[0]
