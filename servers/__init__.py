"""Real servers on free loopback ports, their data in temporary folders: for tests and trying out.

process.py   a server: started, waited for, stopped, killed, started again on its port and data
kinds.py     the servers by name
choice.py    those that an engine and a store need
tls.py       what those show that speak TLS
postgres.py  Debian's PostgreSQL
kafka.py     Kafka from Maven Central's jars
rabbitmq.py  Debian's rabbitmq-server
redis.py     Debian's redis-server

`python -m servers redis` runs some until Ctrl-C and prints their URLs.
"""
