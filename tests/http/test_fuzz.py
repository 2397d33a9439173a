"""Whatever is sent, the answer is one of the wire: no 500, and every error a problem."""

import json
from collections.abc import Generator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.http.service import Service, service

JSON = {"Content-Type": "application/json"}
STATUSES = {200, 202, 400, 404, 413, 415, 422, 503}


@pytest.fixture(scope="module")
def fuzzed() -> Generator[Service]:
    with service(body_limit=10_000) as running:
        yield running


header = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
bodies = st.binary(max_size=30) | values.map(lambda value: json.dumps(value).encode())
named = st.dictionaries(st.sampled_from(["rows", "near", "value", "progress", "x"]), values)


def check(running: Service, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
    response = running.send(method, path, headers, content=body)
    assert response.status_code in STATUSES, response.text
    answer = response.json()
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail"} <= set(answer)
    if response.status_code == 202:
        assert {"location", "retry-after"} <= set(response.headers) or method == "DELETE"
    assert response.headers["vary"] == "Prefer"


@given(
    st.sampled_from(["/geocode", "/count", "/anything"]),
    bodies | named.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {},
        optional={
            "Prefer": header | st.sampled_from(["wait=1", "wait=0", "respond-async"]),
            "Idempotency-Key": header | st.sampled_from(["a", '"a"', '"b"']),
            "Content-Type": header | st.just("application/json"),
            "Content-Length": st.sampled_from(["9" * 30, "-1", "x", "\u0660"]).filter(str.isascii),
            "traceparent": header,
        },
    ),
)
@example("/anything", b'{"value": NaN}', JSON)
@example("/anything", b'{"value": 1e999}', JSON)
@example("/anything", b'{"value": ' + b"9" * 5000 + b"}", JSON)
@example("/anything", b'{"value": ' + b"9" * 5000 + b"}", JSON | {"Idempotency-Key": "big"})
@example("/anything", b'{"value": "\\u0000"}', JSON)
@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_endpoints(fuzzed: Service, path: str, body: bytes, headers: dict[str, str]) -> None:
    check(fuzzed, "POST", path, headers, body)


@given(
    st.sampled_from(["GET", "DELETE"]),
    st.text(st.characters(exclude_characters="/?#.", exclude_categories=("Cs",)), min_size=1),
    st.sampled_from(["", "/result"]),
    header,
)
@settings(deadline=None, max_examples=200)
def test_routes(fuzzed: Service, method: str, job: str, rest: str, prefer: str) -> None:
    if method == "DELETE":
        rest = ""
    check(fuzzed, method, f"/jobs/{quote(job)}{rest}", {"Prefer": prefer}, b"")


@given(values)
@settings(deadline=None, max_examples=100)
def test_what_is_sent_comes_back(fuzzed: Service, value: object) -> None:
    sent = json.dumps({"value": value}).encode()
    headers = {"Content-Type": "application/json", "Prefer": "wait=1"}
    response = fuzzed.send("POST", "/anything", headers, content=sent)
    if response.status_code == 200:
        job = response.json()
        assert job["status"] == "succeeded", job
        result = fuzzed.send("GET", job["links"]["result"])
        assert result.status_code == 200
        assert result.json() == job["result"]
    else:
        assert response.status_code in {400, 422}
