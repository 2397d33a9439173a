"""The servers that the demo runs on, where it is to use others than the embedded ones."""

import os
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def environment(engine: str | None, store: str | None) -> Generator[dict[str, str]]:
    """Start the servers that these need; gives the variables by which the service finds them."""
    if engine is None and store is None:
        yield {**os.environ}
        return
    # `servers` is beside `examples`; what its clients need is not installed where only the demo is.
    sys.path.append(str(Path(__file__).parents[2]))
    from servers.choice import Unknown, chosen
    from servers.process import Missing, NotReady

    with ExitStack() as running:
        try:
            choice = running.enter_context(chosen(engine, store, _tell))
        except (Missing, NotReady, Unknown) as error:
            raise SystemExit(str(error)) from None
        for variable, url in choice.variables.items():
            print(f"{variable}={url}", flush=True)
        yield {**os.environ, **choice.variables}


def _tell(name: str) -> None:
    print(f"starting {name} ...", flush=True)
