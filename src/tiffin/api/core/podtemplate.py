"""PodTemplate: a pod template that stands alone."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.core.podspec.defaults import default_pod_template
from tiffin.api.core.podspec.validation import validate_pod_template_spec
from tiffin.api.kind import Column, Context, Kind, dns_subdomain_name
from tiffin.api.pod_templates import template_warnings
from tiffin.api.strategy import start_generation, updates_content
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import joined, labels, name


def default(obj: Object) -> None:
    default_pod_template(obj.setdefault("template", {}))


def validate(obj: Object, context: Context) -> list[FieldError]:
    return validate_pod_template_spec(obj.get("template"), "template")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def row(obj: Object, now: datetime) -> list[Any]:
    containers = dig(obj, "template", "spec", "containers", default=())
    return [
        name(obj), joined((c.get("name") for c in containers), none=""), joined((c.get("image") for c in containers), none=""),
        labels(dig(obj, "template", "metadata", "labels")),
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="PodTemplate",
    plural="podtemplates",
    schema="io.k8s.api.core.v1.PodTemplate",
    singular="podtemplate",
    validate_name=dns_subdomain_name,
    default=default,
    prepare_for_create=start_generation,
    prepare_for_update=updates_content,
    validate=validate,
    validate_update=validate_update,
    warnings=lambda new, old: template_warnings(new, old, "template"),
    columns=(Column("Name", format="name"), Column("Containers"), Column("Images"), Column("Pod Labels")),
    row=row,
    returns_deleted=True,
)
