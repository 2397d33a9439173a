"""Engines by URL, as ONECOPY_ENGINE names them; left out, a store's own."""

from typing import Final

from onecopy.engines.base import Engine
from onecopy.engines.local import LocalEngine
from onecopy.errors import OptionError
from onecopy.redis_address import RedisAddress

_POSTGRES: Final = ("postgresql", "postgres")


def own_engine(store: str, folder: str, *, bell: int | None = None) -> Engine:
    """Return the engine that a store (its URL) needs no other server for.

    What has changed is told by it whatever engine carries the jobs.

    folder: the state folder. bell: see `LocalEngine`.
    """
    if store.partition(":")[0] in ("redis", "rediss"):
        return _redis(store, "store", None)
    if store.partition(":")[0] in _POSTGRES:
        return _postgres(store, "store", None)
    return LocalEngine(folder, bell=bell)


def default_engine() -> str | None:
    """Return the URL of the engine that this process has without naming any; None: the store's."""
    from onecopy.engines.celery_app import SCHEME, given

    return None if given() is None else f"{SCHEME}:"


def open_engine(url: str, own: Engine, folder: str, *, bell: int | None = None) -> Engine:
    """Return the engine that a URL names; `open` it before it is used.

    `local:`    Unix sockets in the state folder: the processes of this host
    `redis://:password@host:6379/0`, `rediss://...`     a Redis server: the processes of all hosts
    `postgresql://user:password@host/database`          a PostgreSQL server: likewise
    `amqp://user:password@host/vhost`, `amqps://...`    RabbitMQ
    `kafka://host:port,host:port/topic`    Kafka
    `celery+redis://...`, `celery+amqp://...`           Celery, with Redis or RabbitMQ
    `celery:`   the Celery app that `OneCopy(celery=...)` was given

    own: the store's own engine. Raises OptionError: the URL names no engine.
    """
    match url.partition(":")[0]:
        case "local":
            return own if isinstance(own, LocalEngine) else LocalEngine(folder, bell=bell)
        case "redis" | "rediss":
            return _redis(url, "engine", own)
        case scheme if scheme in _POSTGRES:
            return _postgres(url, "engine", own)
        case "amqp" | "amqps":
            return _rabbitmq(url, own)
        case "kafka":
            return _kafka(url, own)
        case scheme if scheme.partition("+")[0] == "celery":
            return _celery(url, own)
        case other:  # Not the URL: a password may be in it.
            raise OptionError(
                "engine",
                f"{other[:50]!r} is no engine; there are local:, redis://, postgresql://, amqp:// "
                "(RabbitMQ), kafka://, celery+redis:// and celery+amqp:// (ONECOPY_ENGINE)",
            )


def _redis(url: str, option: str, own: Engine | None) -> Engine:
    try:
        from onecopy.engines.redis import RedisEngine
    except ModuleNotFoundError as error:
        raise _not_installed("redis", "redis") from error
    address = RedisAddress.parse(url, option)
    if isinstance(own, RedisEngine) and own.address == address:
        return own
    return RedisEngine(address, own)


def _postgres(url: str, option: str, own: Engine | None) -> Engine:
    try:
        from onecopy.engines.postgres import PostgresEngine
        from onecopy.postgres_address import PostgresAddress
    except ImportError as error:  # Also without libpq, where psycopg is there by itself.
        raise _not_installed("psycopg", "postgres") from error
    address = PostgresAddress.parse(url, option)
    if isinstance(own, PostgresEngine) and own.address == address:
        return own
    return PostgresEngine(address, own)


def _rabbitmq(url: str, own: Engine) -> Engine:
    try:
        from onecopy.engines.rabbitmq import RabbitMQEngine
    except ModuleNotFoundError as error:
        raise _not_installed("aio-pika", "rabbitmq") from error
    return RabbitMQEngine(url, own)


def _kafka(url: str, own: Engine) -> Engine:
    try:
        from onecopy.engines.kafka import KafkaEngine
    except ModuleNotFoundError as error:
        raise _not_installed("confluent-kafka", "kafka") from error
    return KafkaEngine(url, own)


def _celery(url: str, own: Engine) -> Engine:
    from onecopy.engines.celery import CeleryEngine
    from onecopy.engines.celery_app import app_of

    return CeleryEngine(app_of(url), own)


def _not_installed(package: str, extra: str) -> OptionError:
    return OptionError("engine", f"it needs {package}: pip install 'onecopy[{extra}]'")
