"""Open files of sealed programs: what was written is there once, at the end."""

from pathlib import Path

from tests.heap import alone
from tests.heap.scenarios import files


def test_a_buffer_is_written_once_whoever_forks_and_ends(tmp_path: Path) -> None:
    alone.run(files.unflushed_files_are_written_once, env={"SCENARIO_FOLDER": str(tmp_path)})
    assert (tmp_path / "once.txt").read_text().splitlines() == [
        "before the seal",
        "before the fork",
        "child 0",
        "child 1",
        "child 2",
        "at the end",
    ]


def test_a_file_opened_after_the_seal_is_written_too(tmp_path: Path) -> None:
    alone.run(files.files_opened_after_the_seal, env={"SCENARIO_FOLDER": str(tmp_path)})
    assert (tmp_path / "later.txt").read_text().splitlines() == [
        "opened later",
        "and written to by a child",
    ]


def test_standard_output_is_not_written_again_by_each_child() -> None:
    assert alone.run(files.standard_output_is_written_once) == "parent\n"


def test_files_that_cannot_be_flushed_do_not_keep_others_from_it(tmp_path: Path) -> None:
    alone.run(files.files_and_proxies_of_unusual_kinds, env={"SCENARIO_FOLDER": str(tmp_path)})
    assert (tmp_path / "kept.txt").read_text() == "kept"


def test_clean_up_at_exit_happens(tmp_path: Path) -> None:
    alone.run(files.clean_up_at_exit, env={"SCENARIO_FOLDER": str(tmp_path)})
    assert (tmp_path / "atexit.txt").read_text() == "ran"
    assert (tmp_path / "finalize.txt").read_text() == "ran"
    assert not Path((tmp_path / "temporary.txt").read_text()).exists()
