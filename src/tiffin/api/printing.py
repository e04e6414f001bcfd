"""Columns and cells that many kinds share, beyond the plain cells of `machinery/table.py`.

Source: the tables the API serves (`as=Table`).
"""
from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiffin.api.kind import Column
from tiffin.machinery.object import Object, dig, meta
from tiffin.machinery.selectors import SelectorError, from_label_selector
from tiffin.machinery.table import NONE, name

NAME = Column("Name", format="name")
AGE = Column("Age")
WORKLOAD_WIDE = (Column("Containers", priority=1), Column("Images", priority=1))
WORKLOAD_WIDE_WITH_SELECTOR = (*WORKLOAD_WIDE, Column("Selector", priority=1))
NAME_AND_CREATED = (NAME, Column("Created At", "date"))
UNSET = "<unset>"


def name_and_created(obj: Object, now: datetime) -> list[Any]:
    """The row of kinds without a printer of their own: the creation time as it is."""
    return [name(obj), meta(obj).get("creationTimestamp")]


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A label selector as one would write it: `app=a,tier in (x,y),!old`; requirements stand in order of their keys."""
    if selector is None:
        return NONE
    try:
        return str(from_label_selector(selector)) or NONE
    except SelectorError:
        return "<error>"


def containers_and_images(template: Mapping[str, Any] | None) -> list[str]:
    """The two wide cells of workloads: names and images of the containers of a pod template."""
    containers = dig(template, "spec", "containers", default=[])
    return [",".join(c.get("name", "") for c in containers), ",".join(c.get("image", "") for c in containers)]
