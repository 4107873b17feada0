"""Routes of specs: what is wrong with one, what it would take, and what one may say; and how specs
come in.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from trainer.errors import DataError, SpecError, UsageError
from trainer.service.desk import MAX_PRIORITY, Asked
from trainer.service.records import Kind
from trainer.service.sending import schema_with_uploads
from trainer.service.web.answers import Reply
from trainer.service.web.describing import answers, body
from trainer.service.web.examples import CHECKED, SPEC
from trainer.service.web.reading import as_model, media_type, strict_json
from trainer.service.web.roles import AUDIT, Reader, TheDesk
from trainer.service.web.schemas import CheckIn, CheckOut, SubmitIn
from trainer.spec import Spec
from trainer.sweeps.declaration import SweepSpec

_TEXT: Final[dict[str, Any]] = {"schema": {"type": "string"}, "example": SPEC}
YAML: Final = {"application_yaml": _TEXT, "text_plain": _TEXT}
"""For OpenAPI: specs come in as they are written, too."""
_YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml", "text/plain")

router: Final = APIRouter(tags=["specs"])

AKind = Annotated[Kind | None, Query(description="By default what the spec declares.")]
Folds = Annotated[int | None, Query(ge=2, le=1000, description="Of a cross-validation.")]


async def asked_to_check(request: Request, kind: AKind = None, folds: Folds = None) -> Asked:
    """A spec that is to be looked at; the parameters are those of a spec in YAML."""
    data = await request.body()
    if media_type(request) == "application/json":
        given = as_model(CheckIn, strict_json(data))
        return _asked(given.spec, given.kind, given.folds)
    return _asked(_text(request, data), kind, folds)


async def asked_to_submit(
    request: Request,
    kind: AKind = None,
    folds: Folds = None,
    priority: Annotated[
        int, Query(ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="Higher ones begin first.")
    ] = 0,
    again: Annotated[bool, Query(description="Train what was trained before.")] = False,
    parent: Annotated[
        str | None, Query(max_length=64, description="The job that this one was made from.")
    ] = None,
) -> Asked:
    """A spec that is to be trained; the parameters are those of a spec in YAML."""
    data = await request.body()
    if media_type(request) == "application/json":
        given = as_model(SubmitIn, strict_json(data))
        more = {"priority": given.priority, "again": given.again, "parent": given.parent}
        return _asked(given.spec, given.kind, given.folds, **more)
    text = _text(request, data)
    return _asked(text, kind, folds, priority=priority, again=again, parent=parent)


AskedToCheck = Annotated[Asked, Depends(asked_to_check)]
AskedToSubmit = Annotated[Asked, Depends(asked_to_submit)]


def _asked(spec: Any, kind: Kind | None, folds: int | None, **more: Any) -> Asked:
    options = {} if folds is None else {"folds": folds}
    if isinstance(spec, str):
        return Asked(spec, kind=kind, options=options, **more)
    text = json.dumps(spec, ensure_ascii=False, indent=1)
    return Asked(text, kind=kind, options=options, **more)


def _text(request: Request, data: bytes) -> str:
    kind = media_type(request)
    if kind not in _YAML_TYPES:
        raise UsageError(
            f"Content-Type: expected application/yaml or application/json, found '{kind}'",
            code="TR-V012",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("the spec is not UTF-8", code="TR-V012") from None


@router.post(
    "/check",
    operation_id="check_spec",
    summary="Tell what is wrong with a spec, or what it will take",
    responses=answers(CheckOut, 413, example=CHECKED),
    openapi_extra=body(CheckIn, {"spec": SPEC}, **YAML),
)
def check_spec(request: Request, user: Reader, desk: TheDesk, asked: AskedToCheck) -> Response:
    """Nothing is queued."""
    request.scope[AUDIT]["skip"] = True
    try:
        found = desk.check(user, asked)
    except (SpecError, DataError) as error:
        problems = [problem.as_json() for problem in error.problems]
        nothing = dict.fromkeys(("kind", "name", "cost", "resolved", "known"))
        kind = "data" if isinstance(error, DataError) else "spec"
        return Reply(
            {
                "valid": False,
                "error": kind,
                "errors": problems,
                **nothing,
                "layers": [],
                "notes": [],
            }
        )
    return Reply(
        {
            "valid": True,
            "error": None,
            "errors": [],
            "kind": found.kind,
            "name": found.name,
            "cost": vars(found.cost),
            "layers": found.layers,
            "resolved": found.resolved,
            "known": found.known,
            "notes": list(found.notes),
        }
    )


@router.get(
    "/schema",
    operation_id="get_schema",
    summary="What a spec may say, as a JSON Schema",
    responses=answers(
        None,
        content={"application/json": {"schema": {"type": "object"}, "example": {"type": "object"}}},
        says="The schema.",
    ),
)
def get_schema(user: Reader, kind: Literal["train", "sweep"] = "train") -> Response:
    """With the files that were sent to the service as sources of data."""
    return Reply(_schema_of(kind))


@cache
def _schema_of(kind: Literal["train", "sweep"]) -> dict[str, Any]:
    declared: Any = SweepSpec if kind == "sweep" else Spec
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return document | schema_with_uploads(TypeAdapter(declared).json_schema())
