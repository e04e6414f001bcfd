"""ServiceCIDR: a range Services get their addresses from, at most one of each family. The ranges never change."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import canonical_cidr, family_of
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import creates_with_status, updates_spec, updates_status
from tiffin.machinery.field import FieldError, invalid, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name


def default(obj: Object) -> None:
    obj.setdefault("spec", {})
    obj.setdefault("status", {})


def validate(obj: Object, context: Context) -> list[FieldError]:
    ranges = dig(obj, "spec", "cidrs", default=[])
    if not ranges:
        return [required("spec.cidrs", "at least one CIDR required")]
    if len(ranges) > 2:
        return [invalid("spec.cidrs", {"CIDRs": ranges}, "may only hold up to 2 values")]
    errors: list[FieldError] = []
    for index, value in enumerate(ranges):
        errors += canonical_cidr(value, f"spec.cidrs[{index}]")
    families = [family_of(value) for value in ranges]
    if len(families) == 2 and families[0] == families[1] != "":
        errors.append(invalid("spec.cidrs", ranges, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors = validate(new, context)
    after, before = dig(new, "spec", "cidrs", default=[]), dig(old, "spec", "cidrs", default=[])
    if len(after) == 2 and len(before) == 1:  # a second family may be added
        kept = [] if after[0] == before[0] else [invalid("spec.cidrs[0]", after[0], "field is immutable")]
        return errors + kept + errors
    if len(after) != len(before):
        return [*errors, invalid("spec.cidrs", after, "field is immutable")]
    return errors + [invalid(f"spec.cidrs[{i}]", value, "field is immutable") for i, value in enumerate(after) if value != before[i]]


def row(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), ",".join(dig(obj, "spec", "cidrs", default=[])), age(obj, now)]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="ServiceCIDR",
    plural="servicecidrs",
    schema="io.k8s.api.networking.v1.ServiceCIDR",
    singular="servicecidr",
    metadata_checks="mu",
    namespaced=False,
    subresources=(
        Subresource("status", updates_object=True, prepare=updates_status()),
    ),
    default=default,
    prepare_for_create=creates_with_status(generation=False),
    prepare_for_update=updates_spec(generation=False),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("CIDRs"), AGE),
    row=row,
)
