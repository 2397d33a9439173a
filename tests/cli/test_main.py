import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--version"], 0, "onecopy, version"),
        (["--help"], 0, "doctor"),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["run"], 2, "Missing argument 'APP'"),
    ],
)
def test_the_command_as_a_module(arguments: list[str], code: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "onecopy", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_windows_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from onecopy import cli

    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit, match="Windows"):
        cli.main()
