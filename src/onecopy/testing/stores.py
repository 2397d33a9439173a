"""`StoreContract`: what every store promises, as tests that a store's own tests inherit.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self) -> MyStore:
            return MyStore(...)     # empty, and not open

Nothing waits for time to pass: the caller of a store says what time it is.
"""

from onecopy.testing._stores.accepting import Accepting, Claiming
from onecopy.testing._stores.changing import Changing, Recording
from onecopy.testing._stores.delivering import Delivering
from onecopy.testing._stores.living import Living
from onecopy.testing._stores.looking import Looking, Sweeping
from onecopy.testing._stores.ordering import Ordering


class StoreContract(
    Accepting, Claiming, Ordering, Changing, Recording, Delivering, Sweeping, Looking, Living
):
    """Inherit it, with a fixture `store` that returns a store, empty and not open.

    shared_by_processes: False for a store that lives in the memory of one process.
    """
