"""NetworkPolicy: which traffic the pods of a selection may receive and send."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import cidr, cidr_warnings, one_of, parse_cidr, port_number_or_name
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME, selector_text
from tiffin.api.strategy import start_generation, updates_spec
from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.selectors import validate_label_selector
from tiffin.machinery.table import age, name

PROTOCOLS = ("TCP", "UDP", "SCTP")
TYPES = ("Ingress", "Egress")
_PEERS = {"ingress": "from", "egress": "to"}


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for direction in _PEERS:
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                if port.get("protocol") is None:
                    port["protocol"] = "TCP"


def validate(obj: Object, context: Context) -> list[FieldError]:
    return _errors(obj, set())


def _errors(obj: Object, known: set[str]) -> list[FieldError]:
    """Violations; networks that were stored before are `known` and not looked at again."""
    spec = obj.get("spec") or {}
    errors = validate_label_selector(spec.get("podSelector"), "spec.podSelector")
    for direction, peers in _PEERS.items():
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for at, port in enumerate(rule.get("ports") or ()):
                errors += _port_errors(port, f"{path}.ports[{at}]")
            for at, peer in enumerate(rule.get(peers) or ()):
                errors += _peer_errors(peer, f"{path}.{peers}[{at}]", known)
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        return [*errors, invalid("spec.policyTypes", types, "may not specify more than two policyTypes")]
    return errors + [not_supported(f"spec.policyTypes[{i}]", kind, TYPES) for i, kind in enumerate(types) if kind not in TYPES]


def _port_errors(port: dict[str, Any], path: str) -> list[FieldError]:
    errors = one_of(port.get("protocol"), f"{path}.protocol", PROTOCOLS) if port.get("protocol") is not None else []
    number, end = port.get("port"), port.get("endPort")
    if end is None:
        return errors + (port_number_or_name(number, f"{path}.port") if number is not None else [])
    if number is None:
        return [*errors, invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")]
    if isinstance(number, str):
        errors.append(invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric"))
        return errors + port_number_or_name(number, f"{path}.port")
    errors += port_number_or_name(number, f"{path}.port")
    if end < number:
        errors.append(invalid(f"{path}.endPort", end, "must be greater than or equal to `port`"))
    return errors + port_number_or_name(end, f"{path}.endPort")


def _peer_errors(peer: dict[str, Any], path: str, known: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    selectors = [field for field in ("podSelector", "namespaceSelector") if peer.get(field) is not None]
    for field in selectors:
        errors += validate_label_selector(peer[field], f"{path}.{field}")
    block = peer.get("ipBlock")
    if block is not None:
        errors += _block_errors(block, f"{path}.ipBlock", known)
        if selectors:
            errors.append(forbidden(path, "may not specify both ipBlock and another peer"))
    elif not selectors:
        errors.append(required(path, "must specify a peer"))
    return errors


def _block_errors(block: dict[str, Any], path: str, known: set[str]) -> list[FieldError]:
    if not block.get("cidr"):
        return [required(f"{path}.cidr")]
    errors, whole = cidr(block["cidr"], f"{path}.cidr", known), parse_cidr(block["cidr"])
    if whole is None:
        return errors
    for index, value in enumerate(block.get("except") or ()):
        here, part = f"{path}.except[{index}]", parse_cidr(value)
        errors += cidr(value, here, known)
        if part is None:
            continue
        inner, outer = part[0].network, whole[0].network
        if inner.version != outer.version or part[0].ip not in outer or inner.prefixlen <= outer.prefixlen:
            errors.append(invalid(here, value, "must be a strict subset of `cidr`"))
    return errors


def _networks(obj: Object) -> set[str]:
    spec = obj.get("spec") or {}
    rules = ((rule, peers) for direction, peers in _PEERS.items() for rule in spec.get(direction) or ())
    blocks = [peer.get("ipBlock") or {} for rule, peers in rules for peer in rule.get(peers) or ()]
    return {value for block in blocks for value in (block.get("cidr") or "", *(block.get("except") or ()))}


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return _errors(new, _networks(old))


def warnings(new: Object, old: Object | None) -> list[str]:
    found: list[str] = []
    for direction, peers in _PEERS.items():
        for index, rule in enumerate(dig(new, "spec", direction, default=[])):
            for at, peer in enumerate(rule.get(peers) or ()):
                block, path = peer.get("ipBlock"), f"spec.{direction}[{index}].{peers}[{at}].ipBlock"
                if block is not None:
                    found += cidr_warnings(block.get("cidr") or "", f"{path}.cidr")
                    for part, value in enumerate(block.get("except") or ()):
                        found += cidr_warnings(value, f"{path}.except[{part}]")
    return found


def row(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), selector_text(dig(obj, "spec", "podSelector")), age(obj, now)]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="NetworkPolicy",
    plural="networkpolicies",
    schema="io.k8s.api.networking.v1.NetworkPolicy",
    singular="networkpolicy",
    short_names=("netpol",),
    default=default,
    prepare_for_create=start_generation,
    prepare_for_update=updates_spec(status=False),
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(NAME, Column("Pod-Selector"), AGE),
    row=row,
)
