"""Random object graphs, sealed, forked and read: equal to what they were, exit code 0."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.heap.alone import ROOT
from tests.heap.scenarios import graphs

links = st.lists(st.integers(0, 60), max_size=6)
leaves = st.tuples(st.sampled_from(sorted(graphs.LEAVES)), st.text(max_size=12), st.just([]))
containers = st.tuples(st.sampled_from(sorted(graphs.MADE)), st.none(), links)
recipes = st.lists(st.one_of(leaves, containers), min_size=1, max_size=60)


@pytest.fixture(scope="module")
def sealer() -> Iterator[subprocess.Popen[str]]:
    """A process that seals each recipe it is given in a process of its own."""
    code = "from tests.heap.scenarios import graphs; graphs.serve()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(recipe=recipes)
def test_a_sealed_graph_reads_the_same_in_children(
    sealer: subprocess.Popen[str], recipe: list[graphs.Node]
) -> None:
    assert sealer.stdin is not None
    assert sealer.stdout is not None
    sealer.stdin.write(json.dumps(recipe) + "\n")
    sealer.stdin.flush()
    assert sealer.stdout.readline() == "0\n"
