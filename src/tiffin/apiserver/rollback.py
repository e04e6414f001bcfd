"""The `rollback` subresource of Deployments in their first two groups: the wish for an earlier revision is noted, and a controller sees to it.

Source: kube-apiserver 1.15, `RollbackREST`.
"""
from __future__ import annotations

from typing import Any

import orjson

from tiffin.api.kind import Subresource
from tiffin.api.legacy.workloads import ROLLBACK
from tiffin.apiserver import bodies
from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.negotiate import negotiate
from tiffin.apiserver.options import read_options
from tiffin.apiserver.registry import Served
from tiffin.apiserver.render import respond
from tiffin.apiserver.writes import Writes
from tiffin.machinery import errors
from tiffin.machinery.field import FieldError, invalid, required
from tiffin.machinery.object import Key, Object
from tiffin.machinery.schema import PREFIX
from tiffin.net.http import Request, Response


class Rollback:
    """Notes what a DeploymentRollback asks for."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    async def handle(self, context: RequestContext, served: Served, sub: Subresource, request: Request) -> Response:
        form = negotiate(context.headers.get("accept", ""))
        read_options(context, "CreateOptions")
        assert sub.body is not None
        group, version, kind = sub.body
        asked = bodies.read_typed(context, request.body, sub.body, f"{PREFIX}{group}.{version}.{kind}")
        if found := _violations(asked):
            raise errors.invalid(kind, group, asked.get("name") or "", found)
        if asked["name"] != context.info.name:
            raise errors.bad_request("name in URL does not match name in DeploymentRollback object")

        def noted(old: Object) -> Object:
            new: Any = orjson.loads(orjson.dumps(old))
            notes = {**(new["metadata"].get("annotations") or {}), **(asked.get("updatedAnnotations") or {})}
            new["metadata"]["annotations"] = {**notes, ROLLBACK: str((asked.get("rollbackTo") or {}).get("revision") or 0)}
            return new  # type: ignore[no-any-return]

        await self._writes.update(context, served, Key(context.info.namespace, context.info.name), noted)
        message = f'rollback request for deployment "{asked["name"]}" succeeded'
        return respond({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "message": message, "code": 200}, form, 201)


def _violations(asked: Object) -> list[FieldError]:
    number = (asked.get("rollbackTo") or {}).get("revision") or 0
    errors_found = [] if asked.get("name") else [required("name", "name is required")]
    return errors_found + ([invalid("rollback.revision", number, "must be greater than or equal to 0")] if number < 0 else [])
