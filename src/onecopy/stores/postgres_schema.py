"""The schema of a PostgreSQL store: made, migrated, checked by each connection.

Any number of processes may start at once: who migrates holds a lock, and the others find it done.
"""

from typing import Final

from onecopy.postgres_address import PostgresAddress
from onecopy.postgres_connection import Connection
from onecopy.stores.base import Outdated, Unavailable
from onecopy.stores.postgres_tables import MIGRATIONS

_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('onecopy'), hashtext(%s))"
_IS_THERE: Final = "SELECT to_regclass('version') IS NOT NULL"


class Newer(Exception):
    """A newer onecopy has written the schema."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version

    def of(self, address: PostgresAddress) -> Outdated:
        """Say of which store."""
        return Outdated(
            f"the store {address.name} was written by a newer onecopy (schema {self.version}, this "
            f"one knows {known()}): upgrade onecopy here, or name another store"
        )


def known() -> int:
    """Return the version that this code writes."""
    return len(MIGRATIONS)


async def prepare(connection: Connection, address: PostgresAddress) -> None:
    """Have the schema up to date. Raises psycopg.Error, Unavailable; Outdated if it is newer."""
    version = await _version(connection)
    if version != known():
        await _must_hold_any_text(connection, address)
        async with connection.transaction():
            await _migrate(connection, address)


async def _migrate(connection: Connection, address: PostgresAddress) -> None:
    await connection.execute(_LOCK, (address.schema,))
    cursor = await connection.execute(
        "SELECT 1 FROM pg_namespace WHERE nspname = %s", (address.schema,)
    )
    if await cursor.fetchone() is None:
        await connection.execute(f"CREATE SCHEMA {address.schema}".encode())
    version = await _version(connection)
    if version > known():
        raise Newer(version).of(address)
    if version == known():
        return
    if version == 0:
        await connection.execute("CREATE TABLE version (version integer NOT NULL)")
        await connection.execute("INSERT INTO version VALUES (0)")
    for script in MIGRATIONS[version:]:
        await connection.execute(script.encode())
    await connection.execute("UPDATE version SET version = %s", (known(),))


async def _version(connection: Connection) -> int:
    """Return the version of the schema; 0 if there is none yet."""
    cursor = await connection.execute(_IS_THERE)
    row = await cursor.fetchone()
    if row is None or not row[0]:
        return 0
    cursor = await connection.execute("SELECT max(version) FROM version")
    row = await cursor.fetchone()
    return 0 if row is None else row[0]


async def _must_hold_any_text(connection: Connection, address: PostgresAddress) -> None:
    encoding = connection.pgconn.parameter_status(b"server_encoding")
    if encoding != b"UTF8":
        name = "unknown" if encoding is None else encoding.decode()
        raise Unavailable(
            f"the database of the store {address.name} is encoded in {name}, which cannot hold "
            "every text: create it with ENCODING 'UTF8'"
        )
