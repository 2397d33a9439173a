"""One copy of the heap for all forked processes.

`seal()` makes everything this process can reach immortal and freezes it: processes forked
afterwards read it without copying it. Usable alone, with no server and no FastAPI. Linux and
CPython 3.12 to 3.15 (64-bit, with the GIL); elsewhere it falls back to `gc.freeze()` and says so.

    from onecopy import heap

    cities = load_cities()
    report = heap.seal({"cities": cities})
    ...                                   # os.fork(), as often as you like

The names are imported at their first use: `onecopy.heap._memory` alone costs nearly nothing.
"""

TYPE_CHECKING = False  # typing's, which a process that measures memory alone does not import
if TYPE_CHECKING:
    from onecopy.heap._memory import ProcessMemory as ProcessMemory
    from onecopy.heap._memory import memory as memory
    from onecopy.heap._probe import ProbeReport as ProbeReport
    from onecopy.heap._probe import probe as probe
    from onecopy.heap._report import LeftOut as LeftOut
    from onecopy.heap._report import SealReport as SealReport
    from onecopy.heap._report import Tally as Tally
    from onecopy.heap._seal import seal as seal
    from onecopy.heap._seal import size as size
    from onecopy.heap._selftest import SelfTest as SelfTest
    from onecopy.heap._selftest import self_test as self_test
    from onecopy.heap._walkers import register_walker as register_walker

_HOMES = {
    "LeftOut": "_report",
    "ProbeReport": "_probe",
    "ProcessMemory": "_memory",
    "SealReport": "_report",
    "SelfTest": "_selftest",
    "Tally": "_report",
    "memory": "_memory",
    "probe": "_probe",
    "register_walker": "_walkers",
    "seal": "_seal",
    "self_test": "_selftest",
    "size": "_seal",
}

__all__ = [
    "LeftOut",
    "ProbeReport",
    "ProcessMemory",
    "SealReport",
    "SelfTest",
    "Tally",
    "memory",
    "probe",
    "register_walker",
    "seal",
    "self_test",
    "size",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module at its first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
