"""Where a PostgreSQL server is, by its URL; for the store and the engine that use one.

No password is in any message: the place is named without it.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from onecopy.errors import OptionError

PATIENCE: Final = 20.0
"""Seconds that a call may take: no server that hangs keeps its caller longer."""
_CONNECTIONS: Final = 4

_SETTINGS: Final = (
    # A plan that was made for an empty table stays in use for minutes: of these queries each has
    # its index, however few rows there are now.
    # What has none, a table of one row, is not to be taken for much work, and compiled.
    "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off "
    f"-c statement_timeout={int(PATIENCE * 1000)} -c lock_timeout={int(PATIENCE * 500)} "
    f"-c idle_in_transaction_session_timeout={int(PATIENCE * 2000)}"
)

_CURES: Final = (
    ("28P01", r"password authentication failed|no password supplied", "the password is wrong"),
    ("28000", r"no pg_hba.conf entry", "see the server's pg_hba.conf: it does not let us in"),
    ("28000", r"role .* does not exist", "there is no such user: createuser"),
    ("3D000", r"database .* does not exist", "there is no such database: createdb"),
    ("42501", r"permission denied", "this user may not: GRANT CREATE ON DATABASE, ALL ON SCHEMA"),
    ("53100", r"No space left", "the disk is full: make room, nothing else needs to be done"),
    ("53300", r"too many clients|connection slots", "raise the server's max_connections"),
    ("57P03", r"starting up|shutting down|recovery", "the server starts or stops: wait"),
    ("25006", r"read-only", "it is a standby: name the primary, or target_session_attrs=primary"),
    ("42P01", r"relation .* does not exist", "its tables are gone: start again to make new ones"),
    ("57014", r"statement timeout", "the server took too long: see what it is busy with"),
    ("55P03", r"lock timeout", "another program holds a lock on it: see pg_locks"),
    (None, r"certificate|SSL|TLS", "it is not trusted: see sslmode and sslrootcert"),
    (None, r"host name|Name or service|resolve", "there is no such host"),
    (None, r"[Cc]onnection refused|No such file", "no server is there: start it, or see the port"),
    (None, r"timeout expired|timed out", "the server does not answer"),
    (None, r"closed|terminating|consuming input|lost", "the connection was cut"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresAddress:
    """A schema of a database, and how to connect to it.

    name: its URL without the password. parameters: for psycopg. connections: of each process.
    """

    name: str
    parameters: dict[str, Any] = field(repr=False)
    schema: str
    connections: int

    @classmethod
    def parse(cls, url: str, option: str) -> Self:
        """Read a URL: all options that libpq knows, `schema` and `connections`.

        Raises OptionError, naming the option that the URL was given as.
        """
        address, _, query = url.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        schema = options.pop("schema", "onecopy").lower()
        connections = options.pop("connections", str(_CONNECTIONS))
        shown = _shown(url)
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,39}", schema):
            raise OptionError(option, f"{shown}: schema is a plain name, not {schema!r}")
        if not connections.isdecimal() or int(connections) < 1:
            raise OptionError(option, f"{shown}: connections is a number from 1")
        try:
            parameters = _parameters(address, options, schema)
        except psycopg.ProgrammingError as error:
            reason = " ".join(str(error).split())
            raise OptionError(option, f"{shown} is no URL of PostgreSQL: {reason}") from None
        return cls(name=shown, parameters=parameters, schema=schema, connections=int(connections))

    def channel(self, what: str) -> str:
        """Return the name of a channel of notifications: each schema has its own."""
        return f"onecopy_{self.schema}_{what}"

    def reason(self, error: BaseException) -> str:
        """Say what is wrong, and what to do."""
        cause = " ".join(str(error).split()) or type(error).__name__
        state = getattr(error, "sqlstate", None)
        for code, words, cure in _CURES:
            if state == code if state else re.search(words, cause):
                return f"{cure} ({cause})"
        return cause


def _parameters(address: str, options: dict[str, str], schema: str) -> dict[str, Any]:
    """Return what psycopg is to connect with. Raises psycopg.ProgrammingError."""
    given = conninfo_to_dict(f"{address}?{urlencode(options, quote_via=quote)}")
    settings = f"-c search_path={schema} {_SETTINGS} {given.pop('options', '')}"
    usual = {
        "connect_timeout": 5,
        "application_name": "onecopy",
        "tcp_user_timeout": int(PATIENCE * 500),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    return {**usual, **given, "options": settings.strip()}


def _shown(url: str) -> str:
    """A URL without its password, and without what follows the path: that may have one too."""
    scheme, _, rest = url.partition("?")[0].partition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{place}"
