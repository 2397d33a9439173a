"""One copy of the data for any number of workers."""

TYPE_CHECKING = False  # typing's, which the supervisor does not import
if TYPE_CHECKING:
    from onecopy.app import OneCopy as OneCopy
    from onecopy.datasets import Dataset as Dataset

__all__ = ["Dataset", "OneCopy"]


def __getattr__(name: str) -> object:
    """Import a public name at its first use (PEP 562).

    The supervisor, and whoever uses `onecopy.heap` alone, must not pay for the rest.
    """
    if name == "OneCopy":
        from onecopy.app import OneCopy

        return OneCopy
    if name == "Dataset":
        from onecopy.datasets import Dataset

        return Dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
