"""`EventsContract`: what every transport of events promises, as tests that its own tests inherit.

class TestMyTransport(EventsContract):
@pytest.fixture
def connect(self) -> Callable[[], AbstractAsyncContextManager[MyTransport]]:
return ...      # a Transport: `follow`, and the `runtime` that its jobs are in
"""

from onecopy.testing._events import EventsContract, Life, Told, Transport

__all__ = ["EventsContract", "Life", "Told", "Transport"]
