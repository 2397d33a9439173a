"""How a job's message reaches a worker. The store is the truth; an engine is a doorbell.

base.py     the Engine protocol
urls.py     engines by URL
local.py    Unix sockets in the state folder: all processes of a host
kafka.py    a message for each job in topics, read by a consumer group
postgres.py  a PostgreSQL database: all processes that use one
rabbitmq.py  a message for each job in quorum queues
redis.py    a Redis server: all processes that use one
"""

from onecopy.engines.base import Ended, Engine, Rung

__all__ = ["Ended", "Engine", "Rung"]
