"""YAML in and out: YAML 1.1 as Go's library reads it, straight from libyaml's events, with bounded memory and time.

Plain words become booleans, nulls and numbers by the rules of that library (`y`, `on` and `0777` included; dates and base-60
numbers stay text), and keys become text. Documents may hold `MOST_NODES` nodes, aliases expanded, `DEEPEST` levels deep; what
repeats too much through aliases is refused. Only the first document of a stream is read.

PyYAML is imported when first needed: most servers never see YAML. Source: sigs.k8s.io/yaml, goyaml.v2 `resolve.go`, `decode.go`.
"""
from __future__ import annotations

import copy
import functools
import io
import re
from typing import Any

from tiffin.machinery.jsoncodec import DEEPEST, DecodeError, Problem, check_depth
from tiffin.machinery.object import Object

MOST_NODES = 300_000
MOST_ALIASED = 1_000
"""Nodes that come from aliases before their share in the document is looked at."""
SHARE_OF_ALIASES = 0.99

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_integer = re.compile(r"([-+]?)(?:0[bB]([01]+)|0[oO]?([0-7]+)|0[xX]([0-9a-fA-F]+)|(0|[1-9][0-9]*))", re.ASCII).fullmatch
_float = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII).fullmatch
_CONVERTING = "error converting YAML to JSON: yaml: "
_REPEATED = f"{_CONVERTING}unmarshal errors:\n"


def parse_yaml(body: bytes) -> tuple[Object, list[Problem]]:
    """The object in the first document, and keys that stand twice in a mapping (the last counts), as one problem.

    DecodeError for what does not parse, for too much, and for what is no mapping.
    """
    import yaml

    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise DecodeError(f"{_CONVERTING}control characters are not allowed") from None
    parser = yaml.CSafeLoader(text)
    builder = _Builder(parser)
    try:
        obj = builder.document()
    except yaml.YAMLError as error:
        raise DecodeError(_CONVERTING + _words(error)) from None
    finally:
        parser.dispose()
    check_depth(obj, body)
    if obj is None:
        obj = {}
    if not isinstance(obj, dict):
        kind = "array" if isinstance(obj, list) else "string" if isinstance(obj, str) else "number"
        raise DecodeError(f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    if not builder.repeated:
        return obj, []
    return obj, [Problem("sentence", _REPEATED + "\n".join(f"  {line}" for line in builder.repeated))]


def repeated_keys(problem: Problem) -> list[str]:
    """The lines of `parse_yaml`'s problem one by one, as a server-side apply warns of them."""
    return [line.strip() for line in problem.path.removeprefix(_REPEATED).split("\n")]


def dump_yaml(obj: Any) -> bytes:
    """YAML with sorted keys, as `Accept: application/yaml` gets it: Go's choice of quotes, literal blocks for several lines."""
    import yaml

    text: bytes = yaml.dump(obj, Dumper=_dumper(), encoding="utf-8", allow_unicode=True, default_flow_style=False)
    return text


@functools.cache
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.CSafeDumper):
        """Double quotes for every text that would be read as something else."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    plain = yaml.CSafeDumper(io.StringIO())
    readable = "tag:yaml.org,2002:str", "tag:yaml.org,2002:yaml"

    def text(dumper: Any, value: str) -> Any:
        style = None
        if "\n" in value:
            style = "|"
        elif not isinstance(resolve(value), str) or plain.resolve(yaml.ScalarNode, value, (True, False)) not in readable:
            style = '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper


def _words(error: Any) -> str:
    """Go's words for an error of libyaml, which are the same but for the line."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if problem is None:
        return "control characters are not allowed"
    scanner = type(error).__name__ == "ScannerError"
    line = mark.line + (1 if scanner else 0) if mark is not None and mark.line else 0
    return f"line {line}: {problem}" if line else str(problem)


def resolve(text: str) -> Any:
    """What a plain scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    plain = text.replace("_", "")
    if match := _integer(plain):
        sign, binary, octal, hexadecimal, decimal = match.groups()
        digits, base = next((d, b) for d, b in ((binary, 2), (octal, 8), (hexadecimal, 16), (decimal, 10)) if d is not None)
        if len(digits) > 64:
            return float(plain) if base == 10 and len(digits) < 300 else text
        value = int(digits, base)
        return -value if sign == "-" else value
    if _float(plain):
        number = float(plain)
        if abs(number) == float("inf"):
            return text
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return text


class _Builder:
    """Values from events, bottom up, without recursion."""

    def __init__(self, parser: Any) -> None:
        import yaml

        self.events, self.parser = yaml.events, parser
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.open: list[_Open] = []
        self.nodes = self.aliased = 0
        self.repeated: list[str] = []

    def document(self) -> Any:
        """The value of the first document, None for an empty stream."""
        e, result = self.events, None
        while True:
            event = self.parser.get_event()
            if event is None or isinstance(event, (e.DocumentEndEvent, e.StreamEndEvent)):
                return result
            if isinstance(event, e.ScalarEvent):
                result = self._add(self._scalar(event), event, 1)
            elif isinstance(event, e.AliasEvent):
                result = self._add(*self._alias(event))
            elif isinstance(event, (e.MappingStartEvent, e.SequenceStartEvent)):
                self._begin(event)
            elif isinstance(event, (e.MappingEndEvent, e.SequenceEndEvent)):
                result = self._end()

    def _begin(self, event: Any) -> None:
        if len(self.open) >= DEEPEST:
            raise DecodeError(f"{_CONVERTING}exceeded max depth of {DEEPEST}")
        self.open.append(_Open({} if isinstance(event, self.events.MappingStartEvent) else [], event, self.nodes))

    def _end(self) -> Any:
        done = self.open.pop()
        return self._add(done.finished(), done.event, 1 + self.nodes - done.nodes_before)

    def _scalar(self, event: Any) -> Any:
        tag = event.tag
        if tag in (None, "!"):
            return resolve(event.value) if event.implicit[0] else event.value
        if tag == "tag:yaml.org,2002:binary":
            return event.value.replace("\n", "").replace(" ", "")
        return event.value if tag in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp") else resolve(event.value)

    def _alias(self, event: Any) -> tuple[Any, Any, int]:
        if event.anchor not in self.anchors:
            if any(o.event.anchor == event.anchor for o in self.open):
                raise DecodeError(f"{_CONVERTING}anchor '{event.anchor}' value contains itself")
            raise DecodeError(f"{_CONVERTING}unknown anchor '{event.anchor}' referenced")
        value, size = self.anchors[event.anchor]
        self.nodes += size - 1
        self.aliased += size
        if self.nodes + self.aliased > MOST_ALIASED and self.aliased > SHARE_OF_ALIASES * (self.nodes + size):
            raise DecodeError(f"{_CONVERTING}document contains excessive aliasing")
        return copy.deepcopy(value), None, size

    def _add(self, value: Any, event: Any, size: int) -> Any:
        """Puts a finished value where it belongs; answers it."""
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise DecodeError(f"{_CONVERTING}document contains {'excessive aliasing' if self.aliased else 'too many nodes'}")
        if event is not None and event.anchor:
            self.anchors[event.anchor] = (value, size)
        if self.open:
            line = event.start_mark.line + 1 if event is not None else 0
            plain = isinstance(event, self.events.ScalarEvent) and event.implicit[0] and event.tag is None
            if repeated := self.open[-1].add(value, plain, line):
                self.repeated.append(repeated)
        return value


class _Open:
    """A mapping or a sequence that has not ended."""

    def __init__(self, value: dict[str, Any] | list[Any], event: Any, nodes_before: int) -> None:
        self.value, self.event, self.nodes_before = value, event, nodes_before
        self.key: str | None = None
        self.merged: list[Any] = []
        self.merging = False

    def add(self, value: Any, plain: bool, line: int) -> str:
        """Takes a key, a value or an item; answers a complaint if the key was there already."""
        if isinstance(self.value, list):
            self.value.append(value)
            return ""
        if self.merging:
            self.merged += value if isinstance(value, list) else [value]
            self.merging = False
            return ""
        if self.key is not None:
            self.value[self.key], self.key = value, None
            return ""
        if value == "<<" and plain:
            self.merging = True
            return ""
        self.key = _key(value)
        return f'line {line}: key "{self.key}" already set in map' if self.key in self.value else ""

    def finished(self) -> Any:
        """The value, with what it merges in from others (its own keys win)."""
        for other in self.merged:
            if not isinstance(other, dict):
                raise DecodeError(f"{_CONVERTING}map merge requires map or sequence of maps as the value")
            for key, value in other.items():
                self.value.setdefault(key, value)  # type: ignore[union-attr]
        return self.value


def _key(value: Any) -> str:
    """A mapping key as text, as the conversion to JSON writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        raise DecodeError(f"{_CONVERTING}invalid map key")
    return "null" if value is None else str(value)
