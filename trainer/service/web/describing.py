"""What OpenAPI says of routes beside their parameters: answers, refusals, bodies, examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from trainer.service.web import schemas
from trainer.service.web.schemas import ErrorOut

ALWAYS: Final = (400, 401, 403, 429, 503)
"""Refusals that any route may give: the gate's, and those of a store that is away."""
_PLACE: Final = "#/components/schemas/{model}"
_WORDS: Final[Mapping[int, tuple[str, str, str, str]]] = {
    400: (
        "The request cannot be understood.",
        "usage",
        "TR-V012",
        "query.limit: expected 1 to 500",
    ),
    401: ("Nobody who is known asks.", "unauthorised", "TR-V004", "this needs a token"),
    403: ("Who asks may not do this.", "forbidden", "TR-V005", "this needs the role admin"),
    404: (
        "There is no such thing, or none that the user may see.",
        "missing",
        "TR-V006",
        "there is no job",
    ),
    409: ("It does not fit to what is there.", "conflict", "TR-V007", "the job is finished"),
    413: ("It is too large.", "too_large", "TR-V011", "a spec has at most 1,048,576 bytes"),
    422: (
        "The spec has mistakes, which are all told.",
        "spec",
        "TR-S014",
        "sgd.epochs: expected 1 or more",
    ),
    429: (
        "Too much, or too often; `Retry-After` says when to ask again.",
        "rate",
        "TR-V009",
        "too often",
    ),
    503: (
        "Not now; `Retry-After` says when to ask again.",
        "away",
        "TR-A005",
        "the database is away",
    ),
}


def answers(
    model: type[BaseModel] | None,
    *refusals: int,
    status: int = 200,
    example: Any = None,
    content: Mapping[str, Any] | None = None,
    says: str = "It is done.",
    more: Mapping[int, str] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """The answers of a route: what it gives, and how it may refuse. `more` are other good answers
    of the same form, by status.
    """
    if model is not None:
        says = (model.__doc__ or says).strip().splitlines()[0]
    good: dict[str, Any] = {"description": says}
    if model is not None:
        good["content"] = {"application/json": {"schema": ref(model), "example": example}}
    elif content is not None:
        good["content"] = dict(content)
    found: dict[int | str, dict[str, Any]] = {status: good}
    for other, words in (more or {}).items():
        found[other] = {**good, "description": words}
    for refused in sorted({*ALWAYS, *refusals}):
        found[refused] = _refusal(refused)
    return found


def _refusal(status: int) -> dict[str, Any]:
    says, kind, code, message = _WORDS[status]
    example = {"error": kind, "code": code, "message": message}
    content = {"application/json": {"schema": ref(ErrorOut), "example": example}}
    return {"description": says, "content": content}


def ref(model: type[BaseModel]) -> dict[str, str]:
    """Where OpenAPI has the form. (Were FastAPI told of it, it would make what checks answers.)"""
    return {"$ref": _PLACE.format(model=model.__name__)}


def body(model: type[BaseModel], example: Any, **others: Any) -> dict[str, Any]:
    """The body of a route that reads it itself: JSON of this form, or one of the `others`, media
    types with what OpenAPI says of them. The key has `_` for the slash.
    """
    content = {"application/json": {"schema": ref(model), "example": example}}
    content |= {name.replace("_", "/", 1): about for name, about in others.items()}
    return {"requestBody": {"required": True, "content": content}}


def _forms() -> dict[str, Any]:
    """The schemas of all forms, by their names."""
    models = [
        each
        for each in vars(schemas).values()
        if isinstance(each, type) and issubclass(each, BaseModel) and each is not BaseModel
    ]
    _, found = models_json_schema([(each, "validation") for each in models], ref_template=_PLACE)
    made: dict[str, Any] = found["$defs"]
    return made


def describe(app: FastAPI) -> None:
    """Has the app's OpenAPI be as it is meant: without FastAPI's own form of refusals, which nobody
    gets, and with how to come in.
    """
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = made()
            _clean(schema)
            _give_examples(app, schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI says to do so


def _clean(schema: dict[str, Any]) -> None:
    components = schema.setdefault("components", {})
    components["schemas"] = _forms()
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "trainer_session"},
    }
    for path in schema["paths"].values():
        for operation in path.values():
            refused = operation["responses"].get("422", {})
            if "HTTPValidationError" in str(refused):
                del operation["responses"]["422"]
            if "security" not in operation:
                operation["security"] = [{"token": []}, {"session": []}]
            for parameter in operation.get("parameters", ()):
                _without_null(parameter["schema"])


def _without_null(schema: dict[str, Any]) -> None:
    """A parameter that may be left out has no value that says so."""
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        del schema["anyOf"]
        schema.update(choices[0])


def _give_examples(app: FastAPI, schema: dict[str, Any]) -> None:
    """Examples as they were written: FastAPI leaves out what is null in them."""
    for route in iter_route_contexts(app.routes):
        for method in route.methods or ():
            operation = schema["paths"].get(route.path, {}).get(method.lower())
            for code, answer in (route.responses if operation else {}).items():
                if "content" in answer:
                    operation["responses"][str(code)]["content"] = answer["content"]
