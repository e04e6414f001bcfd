"""One file per controller: its watches, its RBAC rules, and a pure function from what is known to what should change.

A module of this folder that has a function `controller(config) -> Controller` is a controller; the others hold what several share.
"""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from tiffin.controllers.config import Config
from tiffin.runtime.controller import Controller


def all_controllers(config: Config) -> Iterator[Controller]:
    """Every controller of this folder, in the order of the module names."""
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        make = getattr(importlib.import_module(f"{__name__}.{module.name}"), "controller", None)
        if make is not None:
            yield make(config)
