"""What OpenAPI says is what is answered: requests made from it, good ones and bad ones."""

from collections.abc import Generator
from typing import Any, Final, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from tests.http.service import Service, service

# Its generics have no arguments for strict type checkers.
_CHECKS: Final = cast(Any, checks)
# Some words that fit their description are refused for what they mean: no such host, no such job.
# Some headers that do not fit theirs do once HTTP has trimmed them.
_LEFT_OUT: Final = [_CHECKS.positive_data_acceptance, _CHECKS.negative_data_rejection]
_SLOW: Final = [HealthCheck.too_slow, HealthCheck.filter_too_much]


@pytest.fixture(scope="module")
def described() -> Generator[Service]:
    with service(body_limit=10_000, raises=False) as running:
        yield running


def _send(described: Service, cases: st.SearchStrategy[Any]) -> None:
    job = described.submit(rows=["Bern"])["id"]

    @given(cases, st.booleans())
    @settings(deadline=None, max_examples=15, suppress_health_check=_SLOW)
    def send(case: Any, known: bool) -> None:  # noqa: ANN401
        if known and "job" in case.path_parameters:
            case.path_parameters["job"] = job
        case.call_and_validate(excluded_checks=_LEFT_OUT)
        described.jobs.run()

    send()


@pytest.mark.parametrize("mode", GenerationMode)
def test_answers_are_as_described(described: Service, mode: GenerationMode) -> None:
    schema: Any = schemathesis.openapi.from_asgi("/openapi.json", described.app)
    operations = [found.ok() for found in schema.get_all_operations()]
    if mode is GenerationMode.NEGATIVE:  # of what has no body all is good
        operations = [operation for operation in operations if operation.body]
    for operation in operations:
        _send(described, operation.as_strategy(generation_mode=mode))
    assert "POST /geocode" in {operation.label for operation in operations}
