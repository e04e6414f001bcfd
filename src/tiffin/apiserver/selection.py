"""Which objects a list or watch means: label and field selectors of the query, compiled once per request."""
from __future__ import annotations

from collections.abc import Callable

from tiffin.apiserver.context import Query
from tiffin.apiserver.registry import Served
from tiffin.machinery import errors
from tiffin.machinery.object import Object
from tiffin.machinery.selectors import SelectorError, parse_field_selector, parse_label_selector
from tiffin.store.mvcc import Entry


class Selection:
    """`matches` is None when everything is selected. `name` is set when only one name can match."""

    __slots__ = ("matches", "name", "namespace")

    def __init__(self, served: Served, query: Query) -> None:
        labels, fields = query.text("labelSelector"), query.text("fieldSelector")
        tests: list[Callable[[Object], bool]] = []
        self.name = self.namespace = ""
        try:
            if labels:
                selector = parse_label_selector(labels)
                tests.append(lambda obj: selector.matches(obj["metadata"].get("labels") or {}))
            for field, operator, value in parse_field_selector(fields) if fields else ():
                tests.append(self._field_test(served, field, operator, value))
        except SelectorError as error:
            raise errors.bad_request(str(error)) from None
        self.matches: Callable[[Object], bool] | None = None
        if len(tests) == 1:
            self.matches = tests[0]
        elif tests:
            self.matches = lambda obj: all(test(obj) for test in tests)

    def _field_test(self, served: Served, field: str, operator: str, value: str) -> Callable[[Object], bool]:
        equal = operator != "!="
        if field in ("metadata.name", "metadata.namespace"):
            part = field.partition(".")[2]
            if equal:
                setattr(self, part, value)
            return lambda obj: (obj["metadata"].get(part, "") == value) is equal
        read = served.field_selectors.get(field)
        if read is None:
            raise errors.bad_request(_unsupported(served, field))
        return lambda obj: (read(obj) == value) is equal

    def select(self, entries: list[Entry]) -> list[Entry]:
        matches = self.matches
        return entries if matches is None else [entry for entry in entries if matches(entry.object)]



def _unsupported(served: Served, field: str) -> str:
    """Kinds without fields of their own answer in the words of the generic conversion."""
    if served.custom or served.field_selectors:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
