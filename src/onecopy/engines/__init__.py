"""How a job's message reaches a worker. The store is the truth; an engine is a doorbell.

base.py     the Engine protocol
urls.py     engines by URL
local.py    Unix sockets in the state folder: all processes of a host
redis.py    a Redis server: all processes that use one
postgres.py a PostgreSQL server: likewise
rabbitmq.py  a message for each job in quorum queues
"""

from onecopy.engines.base import Engine, Rung

__all__ = ["Engine", "Rung"]
