"""The schemas of retired versions, said as what differs from the current ones.

A `Package` is what one old group and version has: definitions that are copied from a current package, with all of that package they
lead to, and then changed. Field types are written in the codes of the schema data (`scripts/make_schema.py`); `@.Name` is a definition of
the package itself. A definition that the current package has no more is written out whole.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiffin.machinery.schema import PREFIX, declaration, declare

Spec = str | list[Any]
Fields = Mapping[str, Spec | None]
"""Types of fields by name; None takes a field away."""
HEAD: Fields = {"kind": "s", "apiVersion": "s", "metadata": "@io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
LIST_HEAD: Fields = {"kind": "s", "apiVersion": "s", "metadata": "@io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"}


@dataclass(frozen=True)
class Package:
    """The definitions of one old group and version."""

    name: str
    """As in the schema data, such as `networking.v1beta1`."""
    group: str
    version: str
    current: str
    """The package they are made from."""
    kinds: tuple[str, ...]
    changes: Mapping[str, Fields] = field(default_factory=dict)
    """By definition. Of those that the current package has not, all fields."""
    kept: frozenset[str] = frozenset()
    """Definitions that are referred to where they are: they have not changed."""
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Descriptions of changed fields by definition; those of a whole definition under "". All others are the current ones'."""

    def schema(self, kind: str) -> str:
        """The full name of a definition."""
        whole = f"{self.name}.{kind}"
        return whole if whole.startswith("io.k8s.") else PREFIX + whole

    def declare(self) -> None:
        """Makes the definitions known; again is no matter."""
        waiting = [name for kind in self.kinds for name in (kind, f"{kind}List") if name in self.changes or declaration(f"{self.current}.{name}")]
        made: dict[str, dict[str, Any]] = {}
        while waiting:
            name = waiting.pop()
            if f"{self.name}.{name}" not in made:
                made[f"{self.name}.{name}"] = self._definition(name, waiting)
        declare(made)

    def _definition(self, name: str, waiting: list[str]) -> dict[str, Any]:
        base = declaration(f"{self.current}.{name}")
        fields = {**base.get("f", {}), **self.changes.get(name, {})}
        own = {key: self._own(spec, waiting) for key, spec in fields.items() if spec is not None}
        made = {**base, "f": own}
        if name in self.texts:
            made["t"] = dict(self.texts[name])
        if base:
            made["b"] = f"{self.current}.{name}"
        if "g" in base or name.removesuffix("List") in self.kinds:
            made["g"] = [[self.group, self.version, name]]
        return made

    def _own(self, spec: Spec, waiting: list[str]) -> Spec:
        """A field's type with its references into the current package turned to this one."""
        text, extras = (spec, None) if isinstance(spec, str) else (spec[0], spec[1])
        code, _, target = text.partition("@")
        name = target.removeprefix(f"{self.current}.") if target.startswith(f"{self.current}.") else target.removeprefix(".")
        if target and name != target and "." not in name and name not in self.kept:
            waiting.append(name)
            text = f"{code}@{self.name}.{name}"
        return text if extras is None else [text, extras]
