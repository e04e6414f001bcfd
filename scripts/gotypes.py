"""Struct types of a Go program, read from the run-time type information of its ELF file.

A published schema does not say whether a field is a pointer in Go nor whether its tag has `omitempty`; both decide what a
server keeps of a zero value. Every Go client of the API carries that knowledge in its binary, where `reflect` finds it.
Only what `encoding/json` looks at is read: exported fields, their tags and the kinds of their types.

Source: Go's `internal/abi` (type.go), as of Go 1.26 on 64-bit little-endian machines, programs that are not position independent.
"""
from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

ARRAY, FUNC, INTERFACE, MAP, POINTER, SLICE, STRING, STRUCT = 17, 19, 20, 21, 22, 23, 24, 25
SCALARS = {1: "bool", 2: "int", 3: "int8", 4: "int16", 5: "int32", 6: "int64", 7: "uint", 8: "uint8", 9: "uint16", 10: "uint32",
           11: "uint64", 13: "float32", 14: "float64", 24: "string"}
TYPE_SIZE = 48


@dataclass(slots=True)
class GoType:
    """`kind` is the Go kind; `name` is "package/path.Name" or "" for unnamed types; `element` of pointers, slices and maps."""

    kind: str
    name: str = ""
    element: GoType | None = None
    key: GoType | None = None
    fields: list[GoField] = field(default_factory=list)


@dataclass(slots=True)
class GoField:
    name: str
    tag: str
    type: GoType
    embedded: bool


class Binary:
    """The type information of one program."""

    def __init__(self, path: Path) -> None:
        self.image = path.read_bytes()
        self.sections = self._read_sections()
        self.types_base = self._types_base()
        self.seen: dict[int, GoType] = {}

    def structs(self) -> dict[str, GoType]:
        """Every named struct that some type link leads to, by its full name."""
        _, offset, size = self.sections[".typelink"]
        for (link,) in struct.iter_unpack("<i", self.image[offset:offset + size]):
            self._type(self.types_base + link)
        return {t.name: t for t in self.seen.values() if t.kind == "struct" and t.name}

    def _read_sections(self) -> dict[str, tuple[int, int, int]]:
        start, = struct.unpack_from("<Q", self.image, 40)
        size, count, names = struct.unpack_from("<HHH", self.image, 58)
        headers = [struct.unpack_from("<IIQQQQ", self.image, start + i * size) for i in range(count)]
        table = headers[names][4]
        return {self._text(table + h[0]): (h[3], h[4], h[5]) for h in headers}

    def _text(self, offset: int) -> str:
        return self.image[offset:self.image.index(0, offset)].decode()

    def _types_base(self) -> int:
        """The `types` word of the module data: the one address in it from which every type link leads to a type."""
        _, links, size = self.sections[".typelink"]
        sample = [struct.unpack_from("<i", self.image, links + i)[0] for i in range(0, size, max(4, size // 200 // 4 * 4))]
        low, _, length = self.sections[".rodata"]
        _, offset, module = self.sections.get(".go.module") or self.sections[".noptrdata"]
        for (word,) in struct.iter_unpack("<Q", self.image[offset:offset + module // 8 * 8]):
            if low <= word < low + length and all(self._plausible(word + link) for link in sample):
                return word
        raise ValueError("no module data found")

    def _plausible(self, address: int) -> bool:
        offset = self._offset(address)
        if offset is None:
            return False
        kind = self.image[offset + 23] & 31
        return kind in (ARRAY, FUNC, MAP, POINTER, SLICE, STRUCT, 18)

    def _offset(self, address: int) -> int | None:
        base, offset, size = self.sections[".rodata"]
        return offset + address - base if base <= address < base + size else None

    def _word(self, offset: int) -> int:
        return int(struct.unpack_from("<Q", self.image, offset)[0])

    def _name(self, address: int) -> tuple[str, str, bool, bool]:
        """Name, tag, exported, embedded."""
        offset = self._offset(address)
        assert offset is not None
        flags = self.image[offset]
        name, end = self._counted(offset + 1)
        tag = self._counted(end)[0] if flags & 2 else ""
        return name, tag, bool(flags & 1), bool(flags & 8)

    def _counted(self, offset: int) -> tuple[str, int]:
        length = shift = 0
        while True:
            byte = self.image[offset]
            length |= (byte & 127) << shift
            offset, shift = offset + 1, shift + 7
            if byte < 128:
                return self.image[offset:offset + length].decode(), offset + length

    def _type(self, address: int) -> GoType:
        if address in self.seen:
            return self.seen[address]
        offset = self._offset(address)
        if offset is None:
            return GoType("outside")
        flags, kind = self.image[offset + 20], self.image[offset + 23] & 31
        made = self.seen[address] = GoType(SCALARS.get(kind, {ARRAY: "array", MAP: "map", POINTER: "pointer", SLICE: "slice",
                                                              STRUCT: "struct", INTERFACE: "interface"}.get(kind, "other")))
        if flags & 4:
            made.name = self._qualified(offset, kind, flags)
        if kind in (POINTER, SLICE, ARRAY):
            made.element = self._type(self._word(offset + TYPE_SIZE))
        elif kind == MAP:
            made.key = self._type(self._word(offset + TYPE_SIZE))
            made.element = self._type(self._word(offset + TYPE_SIZE + 8))
        elif kind == STRUCT:
            made.fields = self._fields(offset)
        return made

    def _qualified(self, offset: int, kind: int, flags: int) -> str:
        text = self._name(self.types_base + struct.unpack_from("<i", self.image, offset + 40)[0])[0]
        text = text[1:] if flags & 2 else text
        if not flags & 1:
            return text
        extra = {STRUCT: 32, POINTER: 8, SLICE: 8, ARRAY: 24, MAP: 56, INTERFACE: 32, FUNC: 8, 18: 16}.get(kind, 0)
        package = struct.unpack_from("<i", self.image, offset + TYPE_SIZE + extra)[0]
        path = self._name(self.types_base + package)[0] if package else ""
        return f"{path}.{text.rsplit('.', 1)[-1]}" if path else text

    def _fields(self, offset: int) -> list[GoField]:
        fields, count = self._word(offset + TYPE_SIZE + 8), self._word(offset + TYPE_SIZE + 16)
        made = []
        for i in range(count):
            at = self._offset(fields + 24 * i)
            assert at is not None
            name, tag, exported, embedded = self._name(self._word(at))
            if exported or embedded:
                made.append(GoField(name, tag, self._type(self._word(at + 8)), embedded))
        return made
