"""The page and the chart are drawn from the figures."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import _facts, report, tables
from benchmarks.chart import Bar, bars

SVG = "{http://www.w3.org/2000/svg}"


def server(name: str, memory: int) -> dict[str, Any]:
    return {
        "name": name,
        "command": f"serve {name}",
        "ready_seconds": 12.5,
        "loaded_pss_bytes": memory,
        "root_private_bytes": 4_300_000,
        "worker_private_bytes": [4_000_000, 6_000_000],
    }


FIGURES = {
    "seconds": 20,
    "load_seconds": 12.0,
    "servers": [
        server("gunicorn", 2_400_000_000),
        server("onecopy run, 4 workers", 630_000_000),
        server("onecopy run, 1 worker", 600_000_000),
    ],
    "turns": [
        {"name": "gunicorn", "requests_per_second": 2000},
        {"name": "onecopy run, 4 workers", "requests_per_second": 1900},
        {"name": "onecopy run, 1 worker", "requests_per_second": 1000},
    ],
    "worker": {"requests": 100_300, "clients": 8, "worker_private_bytes": [4_000_000, 9_000_000]},
    "spread": [
        {"name": name, "p99_ms": p99, "p99_ms_runs": [p99], "requests_per_second": 1400}
        for name, p99 in (("SO_REUSEPORT", 10.0), ("onecopy run, 4 workers", 8.0))
    ],
}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with two blocks, and the results of one benchmark."""
    results = tmp_path / "results"
    results.mkdir()
    monkeypatch.setattr(_facts, "RESULTS", results)
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(report, "CHART", tmp_path / "chart.svg")
    _facts.save("one_copy", FIGURES)
    (tmp_path / "page.md").write_text(
        "by hand\n<!-- figures: one_copy -->\nold\n<!-- end -->\n"
        "by hand\n<!-- figures: seal -->\nkept\n<!-- end -->\n"
    )
    return tmp_path


def test_only_what_is_between_the_marks_and_was_measured_is_written_anew(places: Path) -> None:
    report.main()
    page = (places / "page.md").read_text()
    assert (
        "| `serve onecopy run, 4 workers` | 630 MB | 0.26 | 1,900 | 0.95 | 12.5 | 6.0 MB |" in page
    )
    assert "old" not in page
    assert page.count("by hand") == 2
    assert "kept" in page
    report.main()
    assert (places / "page.md").read_text() == page


def test_the_chart_is_an_svg_with_a_bar_for_each_server_in_proportion(places: Path) -> None:
    report.main()
    chart = ElementTree.parse(places / "chart.svg").getroot()
    widths = [float(bar.attrib["width"]) for bar in chart.iter(f"{SVG}rect")]
    assert len(widths) == 3
    assert widths[1] / widths[0] == pytest.approx(630 / 2400, abs=0.01)
    texts = [text.text for text in chart.iter(f"{SVG}text")]
    assert "2.40 GB, 2,000 req/s" in texts


def test_words_in_a_chart_are_escaped() -> None:
    chart = ElementTree.fromstring(bars("<a & b>", "", [Bar("a<b", 1, "1 & 2", ours=False)]))
    assert [text.text for text in chart.iter(f"{SVG}text")][2:] == ["a<b", "1 & 2"]


def test_an_aim_that_was_missed_is_shown_as_missed() -> None:
    shown = tables.aims({"figures": FIGURES})
    met = dict(re.findall(r"^\| (.*?) \|.*\| (\S+) \|$", shown, re.MULTILINE))
    assert met["memory of 4 workers / of 1 worker"] == "yes"
    assert met["the same after 100,300 requests of 8 clients, MB"] == "**no**"
    assert met["requests/s of plain Gunicorn / of `onecopy run`"] == "**no**"
    assert met["p99 of 8 clients on 4 workers, 2 ms handler / SO_REUSEPORT's"] == "yes"


def test_a_result_holds_the_facts_of_the_machine(places: Path) -> None:
    result = json.loads((places / "results" / "one_copy.json").read_text())
    assert result["machine"]["cpus"] >= 1
    assert result["machine"]["memory_bytes"] > 1e8
    assert result["versions"]["onecopy"]
    assert result["figures"] == FIGURES
