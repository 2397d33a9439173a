"""Run servers until Ctrl-C: `python -m servers redis`; without names, all that are installed."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from servers.kinds import KINDS
from servers.process import Missing


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m servers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(KINDS)}")
    names: list[str] = parser.parse_args().names
    if unknown := set(names) - set(KINDS):
        parser.error(f"there is no {', '.join(sorted(unknown))}: it is one of {', '.join(KINDS)}")
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="onecopy-servers-")))
        folder.chmod(0o755)  # a server that does not run as root has its data in there
        started = 0
        for name in names or KINDS:
            server = KINDS[name](folder / name)
            try:
                running.enter_context(server)
            except Missing as error:
                if names:
                    sys.exit(f"{name}: {error}")
                print(f"{name:>10}  left out: {error}", flush=True)
                continue
            started += 1
            print(f"{name:>10}  {server.url}", flush=True)
        if started:
            _until_told()


def _until_told() -> None:
    """Wait for Ctrl-C, or for SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print("They run until Ctrl-C; their data goes with them.", flush=True)
    with suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    main()
