"""For tests: of tasks (`run`, `jobs_in_memory`); of stores, engines and transports of events that
others write (`StoreContract`, `EngineContract`, `EventsContract`).

Needs pytest, which onecopy itself does not; import it in tests only.
"""

import pytest

# Before they are imported: so that a failed assertion says what was compared.
pytest.register_assert_rewrite(
    "onecopy.testing._engines", "onecopy.testing._events", "onecopy.testing._stores"
)

from onecopy.testing.engines import EngineContract  # noqa: E402
from onecopy.testing.events import EventsContract  # noqa: E402
from onecopy.testing.stores import StoreContract  # noqa: E402
from onecopy.testing.tasks import Attempt, MemoryRuntime, jobs_in_memory, run  # noqa: E402

__all__ = [
    "Attempt",
    "EngineContract",
    "EventsContract",
    "MemoryRuntime",
    "StoreContract",
    "jobs_in_memory",
    "run",
]
