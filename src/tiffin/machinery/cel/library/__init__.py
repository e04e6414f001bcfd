"""Function libraries, one file each; `kubernetes()` is all that expressions of Kubernetes v1.36 may use.

`merged` makes one table of functions of several libraries: overloads of the same name stand side by side.
"""
from __future__ import annotations

from functools import lru_cache

from tiffin.machinery.cel.functions import Function, Library
from tiffin.machinery.cel.types import Type


@lru_cache(maxsize=16)
def merged(libraries: tuple[Library, ...]) -> tuple[dict[str, Type], dict[str, Function]]:
    """(types, functions) of all libraries."""
    types: dict[str, Type] = {}
    functions: dict[str, Function] = {}
    for library in libraries:
        types |= library.types
        for name, function in library.functions.items():
            known = functions.get(name)
            functions[name] = Function(name, [*known.overloads, *function.overloads]) if known else function
    return types, functions


@lru_cache(maxsize=1)
def kubernetes() -> tuple[Library, ...]:
    """The libraries of Kubernetes v1.36."""
    from tiffin.machinery.cel.library.authz import AUTHZ
    from tiffin.machinery.cel.library.formats import FORMATS
    from tiffin.machinery.cel.library.lists import LISTS
    from tiffin.machinery.cel.library.network import NETWORK
    from tiffin.machinery.cel.library.quantity import QUANTITY
    from tiffin.machinery.cel.library.regex import REGEX
    from tiffin.machinery.cel.library.semver import SEMVER
    from tiffin.machinery.cel.library.standard import STANDARD
    from tiffin.machinery.cel.library.strings import STRINGS
    from tiffin.machinery.cel.library.urls import URLS

    return (STANDARD, STRINGS, LISTS, REGEX, URLS, AUTHZ, QUANTITY, NETWORK, FORMATS, SEMVER)
