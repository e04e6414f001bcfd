"""Paths and operations of OpenAPI documents, from what is served: in the form of version 3, and turned into that of version 2."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiffin.api.kind import Subresource
from tiffin.apiserver.openapi_schemas import Schemas
from tiffin.apiserver.registry import Served
from tiffin.machinery.schema import META, Struct

Operation = dict[str, Any]
Paths = dict[str, dict[str, Any]]

PLAIN = ("application/json", "application/vnd.kubernetes.protobuf", "application/yaml")
STREAMED = ("application/json", "application/json;stream=watch", "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf;stream=watch",
            "application/yaml")
CUSTOM = ("application/json", "application/yaml")
"""Media types of custom resources."""
PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")
_LIST = ("allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch", "sendInitialEvents",
         "shardSelector", "timeoutSeconds", "watch")
_DELETE = ("dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents", "propagationPolicy")
_COLLECTION = ("continue", "dryRun", "fieldSelector", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "labelSelector", "limit",
               "orphanDependents", "propagationPolicy", "resourceVersion", "resourceVersionMatch", "sendInitialEvents", "shardSelector", "timeoutSeconds")
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_BOOLEANS = frozenset(("allowWatchBookmarks", "sendInitialEvents", "watch", "orphanDependents", "force", "stdin", "stdout", "stderr", "tty", "follow",
                       "insecureSkipTLSVerifyBackend", "previous", "timestamps", "ignoreStoreReadErrorWithClusterBreakingPotential"))
_INTEGERS = frozenset(("limit", "timeoutSeconds", "gracePeriodSeconds", "limitBytes", "sinceSeconds", "tailLines", "ports"))
_CONNECTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "attach": (("get", "post"), ("container", "stderr", "stdin", "stdout", "tty")),
    "exec": (("get", "post"), ("command", "container", "stderr", "stdin", "stdout", "tty")),
    "portforward": (("get", "post"), ("ports",)),
    "proxy": (("delete", "get", "head", "options", "patch", "post", "put"), ("path",)),
}
"""Subresources that connect rather than answer: their methods and parameters."""
_LOG = ("container", "follow", "insecureSkipTLSVerifyBackend", "limitBytes", "pretty", "previous", "sinceSeconds", "stream", "tailLines", "timestamps")
_RETURN_WHAT_THEY_DELETE = frozenset((
    "deviceclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices", "csidrivers", "csinodes", "storageclasses", "volumeattachments",
    "volumeattributesclasses", "persistentvolumeclaims", "pods", "podtemplates", "resourcequotas", "serviceaccounts", "services", "persistentvolumes"))
_ANSWERS = {"200": "OK", "201": "Created", "202": "Accepted", "401": "Unauthorized"}


def words(group: str) -> str:
    """A group as operation ids spell it: `rbac.authorization.k8s.io` is RbacAuthorization."""
    return "".join(part[:1].upper() + part[1:] for part in (group or "core").removesuffix(".k8s.io").replace("-", ".").split("."))


def tag(group: str, version: str) -> str:
    name = words(group)
    return f"{name[:1].lower()}{name[1:]}_{version}"


def definition_name(served: Served) -> str:
    """The name of the definition of a resource's objects: `com.example.v1.Thing` for custom ones."""
    if not served.custom and isinstance(served.type, Struct):
        return served.type.name
    return f"{'.'.join(reversed(served.resource.group.split('.')))}.{served.resource.version}.{served.kind.kind}"


class Resource:
    """The operations of one resource in one version; `schemas` collects what they refer to."""

    def __init__(self, served: Served, schemas: Schemas) -> None:
        self.kind, self.schemas = served.kind, schemas
        self.group, self.version, self.plural = served.resource
        self.gvk = {"group": self.group, "version": self.version, "kind": self.kind.kind}
        self.id = f"{words(self.group)}{self.version[:1].upper()}{self.version[1:]}"
        self.scope = "Namespaced" if self.kind.namespaced else ""
        self.base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        self.custom = served.custom
        self.object, self.list = self._references(served)

    def _references(self, served: Served) -> tuple[dict[str, Any], dict[str, Any]]:
        name = definition_name(served)
        if not served.custom:
            return self.schemas.reference(name), self.schemas.reference(f"{name}List") if "list" in self.kind.verbs else {}
        own = self.schemas.add(name, self.schemas.custom(served.declared(), (self.group, self.version, self.kind.kind)))
        listed = {"type": "object", "required": ["items"], "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": self.schemas.reference(META + "ListMeta"),
            "items": {"type": "array", "items": own}}, "x-kubernetes-group-version-kind": [self.gvk | {"kind": f"{self.kind.kind}List"}]}
        return own, self.schemas.add(f"{name}List", listed)

    def paths(self) -> Paths:
        verbs, kind = set(self.kind.verbs), self.kind.kind
        space = "/namespaces/{namespace}" if self.kind.namespaced else ""
        collection, item = f"{self.base}{space}/{self.plural}", f"{self.base}{space}/{self.plural}/{{name}}"
        where = ("namespace",) if space else ()
        named, listed = f"{self.scope}{kind}", self._answers(self.list, ("200",), CUSTOM if self.custom else STREAMED)
        found: Paths = {}
        if "list" in verbs and space:
            self._put(found, f"{self.base}/{self.plural}", {"get": self._operation(f"list{self.id}{kind}ForAllNamespaces", "list", _LIST, listed)}, ())
        methods = {"get": self._operation(f"list{self.id}{named}", "list", _LIST, listed)} if "list" in verbs else {}
        if "create" in verbs:
            methods["post"] = self._operation(f"create{self.id}{named}", "post", _WRITE, self._answers(self.object, ("200", "201", "202")), self.object)
        if "deletecollection" in verbs:
            parameters = _LIST if self.custom else _COLLECTION
            methods["delete"] = self._deletion(f"delete{self.id}Collection{named}", "deletecollection", parameters, ("200",))
        self._put(found, collection, methods, where)
        self._put(found, item, self._item(verbs, named), ("name", *where))
        for sub in self.kind.subresources:
            self._subresource(found, item, sub, named, ("name", *where))
        if "watch" in verbs and not self.custom:
            self._watches(found, space, named, where)
        return found

    def _item(self, verbs: set[str], named: str, suffix: str = "", body: dict[str, Any] | None = None) -> dict[str, Operation]:
        own = body or self.object
        methods: dict[str, Operation] = {}
        if "get" in verbs:
            parameters = ("resourceVersion",) if self.custom else ()
            methods["get"] = self._operation(f"read{self.id}{named}{suffix}", "get", parameters, self._answers(own, ("200",)))
        if "update" in verbs:
            methods["put"] = self._operation(f"replace{self.id}{named}{suffix}", "put", _WRITE, self._answers(own, ("200", "201")), own)
        if "delete" in verbs and not suffix:
            methods["delete"] = self._deletion(f"delete{self.id}{named}", "delete", _DELETE, ("200", "202"))
        if "patch" in verbs:
            patch = self._operation(f"patch{self.id}{named}{suffix}", "patch", (*_WRITE, "force"), self._answers(own, ("200",) if self.custom else ("200", "201")))
            types = tuple(p for p in PATCHES if not self.custom or "strategic" not in p)
            patch["requestBody"] = {"content": _content(self.schemas.reference(META + "Patch"), types), "required": True}
            methods["patch"] = patch
        return methods

    def _deletion(self, name: str, action: str, parameters: tuple[str, ...], codes: tuple[str, ...]) -> Operation:
        whole = action == "delete" and not self.custom and self.plural in _RETURN_WHAT_THEY_DELETE
        operation = self._operation(name, action, parameters, self._answers(self.object if whole else self.schemas.reference(META + "Status"), codes))
        if action == "delete" or not self.custom:
            operation["requestBody"] = {"content": _content(self.schemas.reference(META + "DeleteOptions"), CUSTOM if self.custom else ("*/*",))}
        return operation

    def _subresource(self, found: Paths, item: str, sub: Subresource, named: str, where: tuple[str, ...]) -> None:
        suffix, path = sub.name[:1].upper() + sub.name[1:], f"{item}/{sub.name}"
        if sub.name in _CONNECTS:
            methods, parameters = _CONNECTS[sub.name]
            for ending, more in (("", ""), ("WithPath", "/{path}")) if sub.name == "proxy" else (("", ""),):
                made = {m: self._connection(f"connect{self.id}{m.capitalize()}{named}{suffix}{ending}", sub) for m in methods}
                made["parameters"] = [_parameter(p) for p in sorted((*parameters, *where))]  # type: ignore[assignment]
                if more:
                    made["parameters"].insert(-1, _parameter("path", "path"))  # type: ignore[attr-defined]
                found[path + more] = made
        elif sub.name == "log":
            answer = {"200": {"description": "OK", "content": _content({"type": "string"}, ("text/plain", *PLAIN))}, "401": {"description": "Unauthorized"}}
            found[path] = {"get": self._operation(f"read{self.id}{named}Log", "get", (), answer),
                           "parameters": [_parameter(p) for p in sorted((*_LOG, *where))]}
        else:
            own, gvk = self._body(sub)
            methods_ = self._item(set(sub.verbs), named, suffix, own)
            if "create" in sub.verbs:
                methods_["post"] = self._operation(f"create{self.id}{named}{suffix}", "post", _WRITE, self._answers(own, ("200", "201", "202")), own)
            for operation in methods_.values():
                operation["x-kubernetes-group-version-kind"] = gvk
            self._put(found, path, methods_, where)

    def _body(self, sub: Subresource) -> tuple[dict[str, Any], dict[str, str]]:
        if sub.body is None:
            return self.object, self.gvk
        group, version, kind = sub.body
        folder = words(group).lower() if group else "core"
        return self.schemas.reference(f"io.k8s.api.{folder}.{version}.{kind}"), {"group": group, "version": version, "kind": kind}

    def _connection(self, name: str, sub: Subresource) -> Operation:
        answer = {"200": {"description": "OK", "content": _content({"type": "string"}, ("*/*",))}, "401": {"description": "Unauthorized"}}
        operation = self._operation(name, "connect", (), answer)
        group, version, kind = sub.body or (self.group, self.version, self.kind.kind)
        operation["x-kubernetes-group-version-kind"] = {"group": group, "version": version, "kind": kind}
        return operation

    def _watches(self, found: Paths, space: str, named: str, where: tuple[str, ...]) -> None:
        """The deprecated paths under /watch."""
        event = self._answers(self.schemas.reference(META + "WatchEvent"), ("200",), STREAMED)
        base, kind = f"{self.base}/watch", self.kind.kind
        if space:
            self._put(found, f"{base}/{self.plural}", {"get": self._operation(f"watch{self.id}{kind}ListForAllNamespaces", "watchlist", _LIST, event)}, ())
        self._put(found, f"{base}{space}/{self.plural}", {"get": self._operation(f"watch{self.id}{named}List", "watchlist", _LIST, event)}, where)
        self._put(found, f"{base}{space}/{self.plural}/{{name}}", {"get": self._operation(f"watch{self.id}{named}", "watch", _LIST, event)}, ("name", *where))

    def _operation(self, name: str, action: str, parameters: Iterable[str], answers: dict[str, Any], body: dict[str, Any] | None = None) -> Operation:
        operation: Operation = {"tags": [tag(self.group, self.version)], "operationId": name}
        if listed := [_parameter(p) for p in parameters]:
            operation["parameters"] = listed
        if body is not None:
            operation["requestBody"] = {"content": _content(body, CUSTOM if self.custom else ("*/*",)), "required": True}
        operation["responses"] = answers
        return operation | {"x-kubernetes-action": action, "x-kubernetes-group-version-kind": self.gvk}

    def _answers(self, schema: dict[str, Any], codes: tuple[str, ...], types: tuple[str, ...] = ()) -> dict[str, Any]:
        types = types or (CUSTOM if self.custom else PLAIN)
        made: dict[str, Any] = {code: {"description": _ANSWERS[code], "content": _content(schema, types)} for code in codes}
        return made | {"401": {"description": "Unauthorized"}}

    def _put(self, found: Paths, path: str, methods: dict[str, Operation], where: tuple[str, ...]) -> None:
        """Adds a path; the parameters of an only method stand with the path."""
        if not methods:
            return
        only = next(iter(methods.values())).pop("parameters", []) if len(methods) == 1 else []
        names = sorted((*(p["name"] for p in only), *where, "pretty"))
        found[path] = methods | {"parameters": [_parameter(n) for n in names]}


def _content(schema: dict[str, Any], types: tuple[str, ...]) -> dict[str, Any]:
    return {media: {"schema": schema} for media in types}


def _parameter(name: str, place: str = "") -> dict[str, Any]:
    place = place or ("path" if name in ("name", "namespace") else "query")
    kind = "boolean" if name in _BOOLEANS else "integer" if name in _INTEGERS else "string"
    made: dict[str, Any] = {"name": name, "in": place}
    return made | ({"required": True} if place == "path" else {}) | {"schema": {"type": kind, "uniqueItems": True}}


def discovery(path: str, name: str, label: str, answer: dict[str, Any], types: tuple[str, ...] = PLAIN) -> Paths:
    """The path that lists what is below it, or tells something of the server."""
    content = {"200": {"description": "OK", "content": _content(answer, types)}, "401": {"description": "Unauthorized"}}
    return {path: {"get": {"tags": [label], "operationId": name, "responses": content}}}


def for_version_2(paths: Paths) -> Paths:
    """Paths in the form of version 2: bodies are parameters, media types stand with the operation."""
    return {path: {method: [_flat(p) for p in made] if method == "parameters" else _operation_2(made, path) for method, made in methods.items()}
            for path, methods in paths.items()}


def _flat(parameter: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in parameter.items() if k != "schema"} | parameter["schema"]


def _operation_2(operation: Operation, path: str) -> Operation:
    made = {k: v for k, v in operation.items() if k not in ("requestBody", "responses", "parameters")}
    answers, parameters = operation["responses"], [_flat(p) for p in operation.get("parameters", ())]
    made["produces"] = list(dict.fromkeys(media for answer in answers.values() for media in answer.get("content", ())))
    made["schemes"] = ["https"]
    if not path.endswith("/"):
        made["consumes"] = ["*/*"]
    elif "openid" not in path:  # discovery says it takes what it gives
        made["consumes"] = made["produces"]
    if body := operation.get("requestBody"):
        made["consumes"] = list(body["content"])
        schema = next(iter(body["content"].values()))["schema"]
        parameters.insert(0, {"name": "body", "in": "body", "schema": schema} | ({"required": True} if body.get("required") else {}))
    if parameters:
        made["parameters"] = parameters
    made["responses"] = {code: _response_2(answer) for code, answer in answers.items()}
    return made


def _response_2(answer: dict[str, Any]) -> dict[str, Any]:
    content = next(iter(answer.get("content", {}).values()), None)
    return {"description": answer["description"]} | (content or {})
