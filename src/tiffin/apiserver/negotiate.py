"""Which representation an answer takes: media type and, for objects, Table or PartialObjectMetadata.

Source: API concepts, "Alternate representations of resources" and "Receiving resources as Tables".
"""
from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from tiffin.machinery import errors

JSON, YAML, PROTOBUF, CBOR = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor"
SUPPORTED = (JSON, YAML, PROTOBUF)
LISTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
STREAMED = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
COLLECTION = f"{LISTED}, {STREAMED}"
"""What the GET of a collection produces, which may become a watch."""
TRANSFORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


class Form(NamedTuple):
    """A representation: media type, what the object is turned into ("" for itself), and that form's meta.k8s.io version."""

    media_type: str = JSON
    kind: str = ""
    version: str = ""
    pretty: bool = False

    @property
    def plain(self) -> bool:
        """The stored encoding can be sent as it is."""
        return self == PLAIN


PLAIN = Form()


class Clause(NamedTuple):
    """One media range of an Accept header."""

    media_type: str
    parameters: dict[str, str]
    quality: float


def parse_accept(header: str) -> list[Clause]:
    """The clauses of an Accept header, best quality first, otherwise as given."""
    clauses = []
    for text in header.split(","):
        media_type, *rest = (piece.strip() for piece in text.split(";"))
        if not media_type:
            continue
        parameters = dict(piece.partition("=")[::2] for piece in rest if piece)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        clauses.append(Clause(media_type.lower(), parameters, quality))
    return sorted(clauses, key=lambda clause: -clause.quality)


@lru_cache(maxsize=256)
def negotiate(accept: str, custom: bool = False, produced: str = "") -> Form:
    """The form of an answer; raises 406 when none of those asked for is served.

    Custom resources have no protobuf form, nor have Tables; PartialObjectMetadata has, of custom resources too. `produced` is what
    a built-in route says it produces: a client that accepts no such media type at all is told that list.
    """
    if not accept or accept == JSON:
        return PLAIN
    clauses = parse_accept(accept)
    if produced and clauses and not any(clause.media_type in (*SUPPORTED, "*/*") for clause in clauses):
        raise errors.ApiError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {produced}", {})
    for clause in clauses:
        media_type = JSON if clause.media_type == "*/*" else clause.media_type
        if media_type not in SUPPORTED:
            continue
        kind = clause.parameters.get("as", "")
        if media_type == PROTOBUF and (kind == "Table" or (custom and not kind)):
            continue
        if not kind:
            return Form(media_type)
        version, group = clause.parameters.get("v", ""), clause.parameters.get("g", "")
        if kind in TRANSFORMS and group == "meta.k8s.io" and version in ("v1", "v1beta1"):
            return Form(media_type, kind, version)
    raise errors.not_acceptable(f"only the following media types are accepted: {LISTED}")


def check_shape(form: Form, is_list: bool) -> None:
    """406 where a list form is asked of one object or the reverse."""
    if (form.kind == "PartialObjectMetadataList" and not is_list) or (form.kind == "PartialObjectMetadata" and is_list):
        raise errors.not_acceptable(f"the server cannot send {'a list' if is_list else 'one object'} as {form.kind}")
