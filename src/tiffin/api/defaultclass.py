"""Which class is meant by who names none: of classes marked as default the newest, by name where they are equally old."""
from __future__ import annotations

from collections.abc import Iterable

from tiffin.machinery.object import Object, annotations_of, dig, name_of

STORAGE = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
INGRESS = ("ingressclass.kubernetes.io/is-default-class",)
"""The annotations that mark a class, by the kind of class."""


def is_default(obj: Object, annotations: tuple[str, ...]) -> bool:
    return any(annotations_of(obj).get(key) == "true" for key in annotations)


def default_class(classes: Iterable[Object], annotations: tuple[str, ...]) -> Object | None:
    """None where no class is marked."""
    marked = sorted((obj for obj in classes if is_default(obj, annotations)), key=name_of)
    return max(marked, key=lambda obj: dig(obj, "metadata", "creationTimestamp", default=""), default=None)
