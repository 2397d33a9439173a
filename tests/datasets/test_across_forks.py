"""A sealed dataset is read by a forked process without a copy of it."""

import subprocess
import sys

CODE = """
import os
from onecopy import OneCopy, heap

shared = OneCopy()

@shared.dataset
def cities() -> dict[str, list[str]]:
    return {f"city {n}": [f"name {n}", f"other name {n}"] for n in range(200_000)}

cities.load()
report = heap.seal({cities.name: cities()})
cities.record(report.groups[cities.name])
read, write = os.pipe()
if os.fork() == 0:
    before = heap.memory([os.getpid()])[os.getpid()].private_bytes
    assert sum(len(name) for names in cities().values() for name in names) > 0
    after = heap.memory([os.getpid()])[os.getpid()].private_bytes
    os.write(write, f"{after - before} {cities.objects} {cities.bytes}".encode())
    os._exit(0)
os.wait()
print(os.read(read, 100).decode(), cities.objects, cities.bytes)
"""


def test_a_forked_process_reads_it_without_a_copy() -> None:
    run = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=100
    )
    grown, objects, size, parents_objects, parents_size = map(int, run.stdout.split())
    assert objects >= 800_000
    assert size > 50_000_000
    assert (objects, size) == (parents_objects, parents_size)
    assert grown < size / 50
