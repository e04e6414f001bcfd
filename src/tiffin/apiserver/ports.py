"""What authentication, authorization and admission need of the rest of the server: a synchronous look at stored objects."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tiffin.machinery.object import Object, Resource


class Reader(Protocol):
    """Stored objects as they are now, in memory and uncopied: whoever gets one must not change it.

    Resources are named in their storage version.
    """

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: Resource, namespace: str | None = None) -> Iterable[Object]:
        """Objects of the resource in the order of their keys, all of them or those of one namespace."""
        ...

    def revision(self, resource: Resource) -> int:
        """A number that changes whenever anything of the resource changes; what is derived may be kept as long as it stays."""
        ...
