"""Second rounds of mutating admission: who is asked again when somebody later in the chain has changed the object.

Rules
* When a webhook or policy changes the object, the whole chain of mutating plugins runs once more. There is no third round.
* In the second round only those hooks are called that ask for it (`reinvocationPolicy: IfNeeded`), were called before, and have not seen
  the object as it is now.
Source: Kubernetes documentation "Dynamic Admission Control", reinvocation policy.
"""

from __future__ import annotations

import orjson

from tiffin.machinery.object import Object


class Reinvocation:
    """What one request's rounds have come to. `plugin` and `hook` are names."""

    def __init__(self) -> None:
        self.again = False
        """Whether this is the second round."""
        self.wanted = False
        """Whether there has to be one."""
        self._called: set[tuple[str, str]] = set()
        self._due: set[tuple[str, str]] = set()
        self._left: dict[str, bytes] = {}

    def begins(self, plugin: str, obj: Object) -> None:
        """The plugin starts a round; in the second one it looks at whether others have changed the object meanwhile."""
        if self.again and self._left.get(plugin) != _snapshot(obj):
            self._make_due(plugin)

    def ends(self, plugin: str, obj: Object) -> None:
        if not self.again:
            self._left[plugin] = _snapshot(obj)

    def is_called(self, plugin: str, hook: str) -> bool:
        """Whether the hook is called in this round."""
        return not self.again or (plugin, hook) in self._due

    def called(self, plugin: str, hook: str) -> None:
        """A hook that may be called again has been called."""
        self._called.add((plugin, hook))

    def changed(self, plugin: str) -> None:
        """A hook of the plugin has changed the object: all called before it are to see that."""
        self._make_due(plugin)
        self.wanted = True

    def _make_due(self, plugin: str) -> None:
        moved = {entry for entry in self._called if entry[0] == plugin}
        self._due |= moved
        self._called -= moved


def _snapshot(obj: Object) -> bytes:
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
