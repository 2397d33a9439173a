"""How a job's message reaches a worker. The store is the truth; an engine is a doorbell.

base.py          the Engine protocol
urls.py          engines by URL
local.py         Unix sockets in the state folder: all processes of a host
postgres.py      a PostgreSQL database: all processes that use one
redis.py         a Redis server: all processes that use one
celery.py        Celery's own messages, for workers of either kind
kafka.py         a message for each job in topics, read by a consumer group
rabbitmq.py      a message for each job in quorum queues
cloud_events.py  a job as such a message
outbox.py        what waits to be published
presence.py      whether a broker is there; concerns.py, what could lose messages
dead_letters.py  what could not be read
"""

from onecopy.engines.base import Ended, Engine, Rung

__all__ = ["Ended", "Engine", "Rung"]
