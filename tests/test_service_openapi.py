"""What the service says of itself: every operation with its name, answers and examples; and
requests made from that, right and wrong ones, of which none is answered in another way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from faults import api
from faults.served import Served, serving
from test_service_gate import ROUTES

from trainer.service.web.describing import ALWAYS

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("described")) as made:
        yield made


@pytest.fixture(scope="module")
def document(served: Served) -> dict[str, Any]:
    answer = served.client(served.token("eve", "reader")).get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for path in document["paths"].values()
        for operation in path.values()
    }


def test_it_is_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    assert not {"HTTPValidationError", "ValidationError"} & set(schemas)
    for schema in schemas.values():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
        )


def test_names_of_operations_are_stable(document: dict[str, Any]) -> None:
    assert set(operations(document)) == set(ROUTES) - {"ask_mlflow"}


def test_every_operation_says_all_of_its_answers(document: dict[str, Any]) -> None:
    public = {"get_health", "get_page", "get_static", "log_in"}
    for name, operation in operations(document).items():
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name
        assert {str(code) for code in ALWAYS} <= set(operation["responses"]), name
        assert (operation["security"] == []) is (name in public), name
        for code, answer in operation["responses"].items():
            assert answer["description"], (name, code)
            if int(code) >= 400:
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorOut"}, (name, code)


def test_every_example_is_one(document: dict[str, Any]) -> None:
    count = 0
    for name, operation in operations(document).items():
        contents = [answer.get("content", {}) for answer in operation["responses"].values()]
        contents.append(operation.get("requestBody", {}).get("content", {}))
        for content in contents:
            for kind, about in content.items():
                if kind in ("application/octet-stream", "*/*"):
                    continue
                assert "example" in about, (name, kind)
                schema = {**about["schema"], "components": document["components"]}
                jsonschema_rs.validate(schema, about["example"])
                count += 1
    assert count > 200


def test_requests_made_from_it(tmp_path: Path) -> None:
    tally = api.campaign(tmp_path, 220)
    assert tally.lost == []
    assert tally.cases >= 120


def test_a_fault_that_is_planted_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that nobody described, of one operation."""
    monkeypatch.setattr("trainer.service.web.admin.shown_token", lambda token: {"name": token.name})
    monkeypatch.setattr(api, "ONLY", ("list_tokens",))
    tally = api.campaign(tmp_path, 20)
    assert any("GET /tokens" in each and "violates" in each for each in tally.lost)
