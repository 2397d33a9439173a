"""`EngineContract`: what every engine promises, as tests that an engine's own tests inherit.

    class TestMyEngine(EngineContract):
        @pytest.fixture
        def connect(self) -> Callable[[], MyEngine]:
            return lambda: MyEngine(...)    # each as in a process of its own, and not open

An engine may lose a word, or say it twice; it is judged here when nothing disturbs it.
"""

from onecopy.testing._engines import EngineContract

__all__ = ["EngineContract"]
