"""The schema data: types of built-in kinds as the server needs them."""
from __future__ import annotations

import pytest

from tiffin.machinery.schema import (
    IntOrString,
    List,
    Map,
    Quantity,
    Scalar,
    SchemaOr,
    Struct,
    Time,
    definition,
    definition_names,
    leaf_kinds,
)


def field(name: str, *path: str):
    found = None
    struct = definition(name)
    for step in path:
        found = struct.fields[step]
        struct = found.type.items if isinstance(found.type, List) else found.type
    return found


def test_every_definition_compiles() -> None:
    leaves = leaf_kinds()
    for name in definition_names():
        if name not in leaves:
            assert all(f.type is not None for f in definition(name).fields.values()), name


def test_unknown_definition() -> None:
    with pytest.raises(KeyError):
        definition("io.k8s.api.core.v1.Nothing")


def test_lists_know_their_keys() -> None:
    ports = field("io.k8s.api.core.v1.Container", "ports")
    assert isinstance(ports.type, List)
    assert (ports.type.list_type, ports.type.keys) == ("map", ("containerPort", "protocol"))
    assert (ports.merge_key, ports.strategy) == ("containerPort", ("merge",))
    assert field("io.k8s.api.core.v1.Container", "args").type.list_type == "atomic"
    assert field("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers").type.list_type == "set"
    assert field("io.k8s.api.core.v1.PodSpec", "volumes").strategy == ("merge", "retainKeys")


def test_pointers_and_omitempty_as_in_go() -> None:
    assert field("io.k8s.api.core.v1.ConfigMap", "immutable").pointer
    assert not field("io.k8s.api.core.v1.PodSpec", "hostNetwork").pointer
    assert field("io.k8s.api.core.v1.PodSpec", "containers").always
    assert field("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "creationTimestamp").omit_zero
    assert field("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus", "conditions").always


@pytest.mark.parametrize(("path", "kind"), [
    (("io.k8s.api.core.v1.ServicePort", "targetPort"), IntOrString),
    (("io.k8s.api.core.v1.ResourceFieldSelector", "divisor"), Quantity),
    (("io.k8s.api.core.v1.ResourceRequirements", "limits"), Map),
    (("io.k8s.api.core.v1.Event", "eventTime"), Time),
    (("io.k8s.api.core.v1.Pod", "spec"), Struct),
    (("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "additionalProperties"), SchemaOr),
])
def test_types(path: tuple[str, ...], kind: type) -> None:
    assert isinstance(field(*path).type, kind)


def test_enums_defaults_atoms() -> None:
    protocol = field("io.k8s.api.core.v1.ContainerPort", "protocol")
    assert isinstance(protocol.type, Scalar)
    assert (protocol.type.enum, protocol.default) == (("SCTP", "TCP", "UDP"), "TCP")
    assert field("io.k8s.api.core.v1.PodSpec", "nodeSelector").type.atomic
    claim = field("io.k8s.api.core.v1.PersistentVolumeSpec", "claimRef").type
    assert not claim.atomic and "uid" in claim.fields
    assert definition("io.k8s.api.core.v1.ObjectReference").atomic
    assert definition("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector").atomic
    assert definition("io.k8s.api.core.v1.Pod").kinds == (("", "v1", "Pod"),)
