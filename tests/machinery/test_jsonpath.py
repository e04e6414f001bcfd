from __future__ import annotations

from typing import Any

import pytest

from tiffin.machinery.jsonpath import PathError, compile_path

OBJ = {
    "spec": {"hosts": ["a", "b", "c"], "n": 3, "a.b": "dotted", "ports": [{"name": "x", "port": 1}, {"name": "y", "port": 2}]},
    "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]}}


@pytest.mark.parametrize(("path", "found"), [
    (".spec.n", [3]), (".spec.hosts[0]", ["a"]), (".spec.hosts[-1]", ["c"]), (".spec.hosts[9]", []), (".spec.hosts[0:2]", ["a", "b"]), (".spec.hosts[1:]", ["b", "c"]),
    (".spec.hosts[::2]", ["a", "c"]), (".spec.hosts[*]", ["a", "b", "c"]), (".spec.hosts[0,2]", ["a", "c"]), (".spec['n']", [3]), (".spec['a.b']", ["dotted"]),
    (r".spec.a\.b", ["dotted"]), ('.status.conditions[?(@.type=="Ready")].status', ["True"]), (".status.conditions[?(@.type=='Nope')].status", []),
    (".spec.ports[?(@.port>1)].name", ["y"]), (".spec.ports[?(@.port!=1)].name", ["y"]), (".spec.ports[?(@.name)].port", [1, 2]), ("..port", [1, 2]),
    (".spec.missing.deeper", []), (".spec.ports[*].name", ["x", "y"]), ("$.spec.n", [3]), (".spec['n','hosts']", [3, ["a", "b", "c"]]), (".", [OBJ])])
def test_paths(path: str, found: list[Any]) -> None:
    assert compile_path(path)(OBJ) == found


@pytest.mark.parametrize("path", [".spec[", ".spec[x]", ".spec[?(@.a==b)]", ".spec[]", ".a b", ".spec[1:2:3:4]"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(PathError):
        compile_path(path)
