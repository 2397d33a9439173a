"""What came of a try to deliver."""

from dataclasses import dataclass

from onecopy.deliveries import Try


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a try; `retry_after`: seconds that the receiver asked to be left alone for."""

    outcome: Try
    retry_after: float | None = None
