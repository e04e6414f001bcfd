"""PEM blocks in requests for certificates and in the certificates issued: what is wrong with them, as far as their form goes.

What a request says, and whether its signature is right, is for signers to look at. Source: RFC 7468; Go's encoding/pem and encoding/asn1.
"""
from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

REQUEST, CERTIFICATE = "CERTIFICATE REQUEST", "CERTIFICATE"
_SEQUENCE = 16
_begin = re.compile(rb"^-----BEGIN ([^\r\n]*?)-----[ \t]*\r?$", re.MULTILINE)
_PARAMETERS = ("{optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> stringType:0 timeType:0 "
               "set:false omitEmpty:false}")


class Block(NamedTuple):
    """One block: what it says it is, whether it has headers, and its content."""

    kind: str
    has_headers: bool
    content: bytes


def blocks(text: bytes) -> list[Block]:
    """The well-formed blocks of a text, in order; all else is skipped."""
    found: list[Block] = []
    at = 0
    while match := _begin.search(text, at):
        at = match.end()
        kind = match[1]
        end = re.compile(rb"^-----END " + re.escape(kind) + rb"-----[ \t]*\r?$", re.MULTILINE).search(text, at)
        if end is None:
            continue
        headers, body = _split(text[at : end.start()])
        try:
            content = base64.b64decode(b"".join(body.split()), validate=True)
        except binascii.Error:
            continue
        found.append(Block(kind.decode(errors="replace"), headers, content))
        at = end.end()
    return found


def _split(inside: bytes) -> tuple[bool, bytes]:
    lines = inside.lstrip(b"\r\n").split(b"\n")
    count = next((i for i, line in enumerate(lines) if b":" not in line), len(lines))
    return count > 0, b"\n".join(lines[count:])


def request_fault(text: bytes) -> str:
    """What keeps a text from being a request for a certificate; empty when nothing does."""
    first = next(iter(blocks(text)), None)
    if first is None or first.kind != REQUEST:
        return "PEM block type must be CERTIFICATE REQUEST"
    return _sequence_fault(first.content, "certificateRequest")


def certificates_fault(text: bytes) -> str:
    """What keeps a text from being certificates; empty when nothing does."""
    found = blocks(text)
    for block in found:
        if block.kind != CERTIFICATE:
            return f'only CERTIFICATE PEM blocks are allowed, found "{block.kind}"'
        if block.has_headers:
            return "no PEM block headers are permitted"
        if not block.content:
            return "found CERTIFICATE PEM block containing 0 certificates"
        if _sequence_fault(block.content, ""):
            return "x509: malformed certificate"
    return "" if found else "must contain at least one CERTIFICATE PEM block"


def bundle_fault(text: bytes) -> str:
    """What keeps a text from holding certificates to trust; empty when nothing does. What is beside them is skipped."""
    found = blocks(text)
    faults = [_sequence_fault(block.content, "") for block in found if block.kind == CERTIFICATE and not block.has_headers]
    if not all(faults):
        return ""
    if faults:
        return "failed to parse certificate: x509: malformed certificate"
    return "no valid certificate authority data seen" if found else "unable to parse bytes as PEM block"


def _sequence_fault(content: bytes, called: str) -> str:
    """What keeps bytes from beginning with one whole ASN.1 sequence."""
    if len(content) < 2:
        return "asn1: syntax error: sequence truncated" if not content else "asn1: syntax error: truncated tag or length"
    head, size, start = content[0], content[1], 2
    if size & 0x80:
        digits = size & 0x7F
        start += digits
        if not digits:
            return "asn1: syntax error: indefinite length found (not DER)"
        if len(content) < start:
            return "asn1: syntax error: truncated tag or length"
        size = int.from_bytes(content[2:start], "big")
    if head & 0x1F != _SEQUENCE or head >> 6 or not head & 0x20:
        compound = "true" if head & 0x20 else "false"
        tag = f"{{class:{head >> 6} tag:{head & 0x1F} length:{size} isCompound:{compound}}}"
        return f"asn1: structure error: tags don't match ({_SEQUENCE} vs {tag}) {_PARAMETERS} {called} @{start}"
    if start + size > len(content):
        return "asn1: syntax error: data truncated"
    return "trailing data" if start + size < len(content) and called else ""
