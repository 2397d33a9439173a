"""Uvicorn in N processes, each with a socket of its own on the same port (SO_REUSEPORT).

The kernel spreads connections over the sockets: the measure for how evenly a server can spread them
over its workers. Usage: `python reuse_port.py app:app --workers 4 --port 8000`.
"""

from __future__ import annotations

import argparse
import os
import socket

import uvicorn


def serve(app: str, port: int) -> None:
    # IPPROTO_TCP, or asyncio does not set TCP_NODELAY on what the socket accepts.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("app")
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    for _ in range(options.workers - 1):
        if os.fork() == 0:
            break
    serve(options.app, options.port)


if __name__ == "__main__":
    main()
