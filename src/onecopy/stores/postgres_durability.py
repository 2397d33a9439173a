"""Whether what a PostgreSQL store answers is on the server's disk."""

from typing import Final

from psycopg import Error

from onecopy.postgres_address import PostgresAddress
from onecopy.postgres_connection import Connection, connect
from onecopy.stores.postgres_connections import unavailable

_SETTINGS: Final = (
    ("synchronous_commit", "a crash of the server loses the last moments: set it on"),
    ("fsync", "a power cut can damage all of it: set it on"),
    ("full_page_writes", "a power cut can damage all of it: set it on"),
)


async def losses(connection: Connection) -> list[str]:
    """Say which settings are off that have what is answered be lost, and what then."""
    asked = ", ".join(f"current_setting('{name}')" for name, _ in _SETTINGS)
    cursor = await connection.execute(f"SELECT {asked}".encode())
    values = await cursor.fetchone() or ()
    found = zip(_SETTINGS, values, strict=True)
    return [f"{name} is off: {words}" for (name, words), value in found if value == "off"]


async def losses_at(address: PostgresAddress) -> list[str]:
    """As `losses`, where no store is open; makes nothing there. Raises Unavailable."""
    try:
        connection = await connect(address)
        try:
            return await losses(connection)
        finally:
            await connection.close()
    except (Error, OSError) as error:
        raise unavailable(address, error) from None
