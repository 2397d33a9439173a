"""What OpenAPI says of the routes and endpoints."""

import json
from typing import Any

import pytest
from fastapi import APIRouter
from pydantic import BaseModel

from onecopy.testing.tasks import jobs_in_memory
from tests.http.service import new_app, service


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    shared, app = new_app()
    shared.install(app)
    return app.openapi()


def test_the_body_is_the_tasks_parameters(schema: dict[str, Any]) -> None:
    body = schema["paths"]["/geocode"]["post"]["requestBody"]
    assert body["required"]
    arguments = body["content"]["application/json"]["schema"]
    assert set(arguments["properties"]) == {"rows", "near"}
    assert arguments["required"] == ["rows"]
    assert {"$ref": "#/components/schemas/Place"} in arguments["properties"]["near"]["anyOf"]
    assert schema["components"]["schemas"]["Place"]["required"] == ["name"]
    assert not schema["paths"]["/count"]["post"]["requestBody"]["required"]


def test_the_result_is_described(schema: dict[str, Any]) -> None:
    answers = schema["paths"]["/geocode"]["post"]["responses"]
    job = answers["200"]["content"]["application/json"]["schema"]
    assert job["properties"]["result"]["type"] == "array"
    count = schema["paths"]["/count"]["post"]["responses"]["200"]
    assert count["content"]["application/json"]["schema"]["properties"]["result"] == {
        "type": "integer"
    }


def test_each_answer_has_an_example(schema: dict[str, Any]) -> None:
    wanted = {
        ("/geocode", "post"): {"200", "202", "400", "413", "415", "422", "503"},
        ("/jobs/{job}", "get"): {"200", "404", "503"},
        ("/jobs/{job}", "delete"): {"200", "202", "404", "503"},
        ("/jobs/{job}/result", "get"): {"200", "202", "404", "503"},
        ("/jobs/{job}/events", "get"): {"200", "204", "400", "404", "503"},
        ("/jobs/events", "get"): {"200", "204", "400", "404", "503"},
    }
    for (path, method), statuses in wanted.items():
        answers = schema["paths"][path][method]["responses"]
        # FastAPI adds 422 to every route with parameters.
        assert set(answers) - {"422"} == statuses - {"422"}
        for status in statuses - {"204"}:
            [content] = answers[status]["content"].values()
            assert "example" in content or content["examples"], (path, status)


def test_the_headers_are_described(schema: dict[str, Any]) -> None:
    operation = schema["paths"]["/geocode"]["post"]
    assert {each["name"] for each in operation["parameters"]} == {
        "callback_url",
        "Prefer",
        "Idempotency-Key",
    }
    assert set(operation["responses"]["202"]["headers"]) == {"Location", "Retry-After"}
    assert operation["description"] == "Find places by their names."
    assert "description" not in schema["paths"]["/count"]["post"]
    for path in ("/jobs/{job}", "/jobs/{job}/result"):
        parameters = schema["paths"][path]["get"]["parameters"]
        assert {each["name"] for each in parameters} == {"job", "Prefer"}


def test_no_mark_is_left_and_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    text = json.dumps(schema)
    assert "<!--" not in text
    for reference in text.split('"$ref": "')[1:]:
        at: Any = schema
        for step in reference.partition('"')[0].split("/")[1:]:
            at = at[step]
        assert at


def test_it_is_the_same_each_time_it_is_asked_for() -> None:
    with service() as running:
        first = running.send("GET", "/openapi.json").json()
        assert running.send("GET", "/openapi.json").json() == first
        assert running.send("GET", "/docs").status_code == 200


def test_endpoints_of_routers_are_described_too() -> None:
    shared, app = new_app()
    router = APIRouter(prefix="/v1")

    class Place(BaseModel):
        """Another one of this name."""

        code: int

    @shared.task(name="look-up")
    def look_up(place: Place) -> Place:
        return place

    router.post("/look-up")(look_up.endpoint)
    shared.install(app)
    app.include_router(router)
    with jobs_in_memory(shared):
        schema = app.openapi()
    body = schema["paths"]["/v1/look-up"]["post"]["requestBody"]["content"]["application/json"]
    reference = body["schema"]["properties"]["place"]["$ref"]
    assert schema["components"]["schemas"][reference.rpartition("/")[2]]["required"] == ["code"]
    assert schema["components"]["schemas"]["Place"]["required"] == ["name"]
