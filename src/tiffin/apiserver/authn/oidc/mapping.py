"""From the claims of a verified token to a user: rules a token must meet, where its name and groups come from. Pure.

Either a claim and a prefix, or a CEL expression over `claims`; rules about the user see it as `user`. Expressions are compiled when
the configuration is read, and a faulty one is refused then. Source: API reference, AuthenticationConfiguration.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tiffin.apiserver.authn.tokens import Refused
from tiffin.apiserver.user import AUTHENTICATED, User
from tiffin.machinery.cel import Budget, CelError, CompilationError, Environment, Program, json_of
from tiffin.machinery.cel import types as cel
from tiffin.machinery.names import is_domain_prefixed_path

RESERVED = ("kubernetes.io", "k8s.io")
STRINGS = (cel.STRING, cel.list_of(cel.STRING), cel.list_of(cel.DYN))
CLAIMS = {"claims": cel.map_of(cel.STRING, cel.DYN)}
USER = {"user": cel.struct("kubernetes.UserInfo", {
    "username": cel.STRING, "uid": cel.STRING, "groups": cel.list_of(cel.STRING), "extra": cel.map_of(cel.STRING, cel.list_of(cel.STRING))})}


class ConfigurationError(ValueError):
    """A configuration that cannot be used; the message names the place in it."""


class Rule(NamedTuple):
    """What must hold: an expression that is true, or a claim with a value."""

    program: Program | None
    message: str
    claim: str = ""
    value: str = ""


class Source(NamedTuple):
    """Where a name, groups or the like come from: an expression, or a claim and what is put before it."""

    program: Program | None
    claim: str = ""
    prefix: str = ""


class Mapper:
    """One issuer's mapping."""

    def __init__(self, issuer: Mapping[str, Any], where: str) -> None:
        """Raises ConfigurationError."""
        self._claims, self._users = Environment(CLAIMS), Environment(USER)
        mappings = _mapping(issuer.get("claimMappings") or {}, f"{where}.claimMappings")
        place = f"{where}.claimMappings"
        self._username = self._source(mappings.get("username"), f"{place}.username", needed=True)
        self._groups = self._source(mappings.get("groups"), f"{place}.groups", types=STRINGS)
        self._uid = self._source(mappings.get("uid"), f"{place}.uid", prefixed=False)
        self._extra = self._extras(mappings.get("extra") or (), f"{place}.extra")
        self._claim_rules = [
            self._claim_rule(rule, f"{where}.claimValidationRules[{number}]")
            for number, rule in enumerate(issuer.get("claimValidationRules") or ())]
        self._user_rules = [
            Rule(self._compiled(self._users, rule.get("expression"), f"{where}.userValidationRules[{number}].expression", (cel.BOOL,)), rule.get("message") or "")
            for number, rule in enumerate(issuer.get("userValidationRules") or ())]
        self._check_email(f"{place}.username.expression")

    # ---- reading the configuration

    def _compiled(self, environment: Environment, text: Any, where: str, types: tuple[cel.Type, ...]) -> Program:
        if not isinstance(text, str) or not text:
            raise ConfigurationError(f"{where}: Required value: expression is required")
        try:
            program = environment.compile(text)
        except CompilationError as error:
            raise ConfigurationError(f"{where}: Invalid value: {text!r}: compilation failed: {error}") from error
        if program.type not in (*types, cel.DYN):
            wanted = " or ".join(cel.shown(each) for each in types)
            raise ConfigurationError(f"{where}: Invalid value: {text!r}: must evaluate to {wanted}")
        return program

    def _source(
        self, given: Any, where: str, needed: bool = False, prefixed: bool = True, types: tuple[cel.Type, ...] = (cel.STRING,),
    ) -> Source | None:
        found = _mapping(given or {}, where)
        claim, expression = found.get("claim") or "", found.get("expression") or ""
        if claim and expression:
            raise ConfigurationError(f"{where}: Invalid value: claim and expression can't both be set")
        if expression:
            if found.get("prefix"):
                raise ConfigurationError(f"{where}.prefix: Invalid value: prefix can't be set when expression is set")
            return Source(self._compiled(self._claims, expression, f"{where}.expression", types))
        if not claim:
            if needed:
                raise ConfigurationError(f"{where}: Required value: claim or expression is required")
            return None
        if prefixed and found.get("prefix") is None:
            text = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
            raise ConfigurationError(f"{where}.prefix: Required value: {text}")
        return Source(None, claim, found.get("prefix") or "")

    def _extras(self, given: Any, where: str) -> dict[str, Program]:
        found: dict[str, Program] = {}
        for number, entry in enumerate(given):
            key, place = entry.get("key") or "", f"{where}[{number}]"
            domain = key.partition("/")[0]
            if is_domain_prefixed_path(key) or key != key.lower():
                raise ConfigurationError(f"{place}.key: Invalid value: {key!r}: must be a domain-prefixed path in lower case")
            if any(domain == taken or domain.endswith(f".{taken}") for taken in RESERVED):
                raise ConfigurationError(f"{place}.key: Invalid value: {key!r}: k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use")
            if key in found:
                raise ConfigurationError(f"{place}.key: Duplicate value: {key!r}")
            found[key] = self._compiled(self._claims, entry.get("valueExpression"), f"{place}.valueExpression", STRINGS)
        return found

    def _claim_rule(self, rule: Mapping[str, Any], where: str) -> Rule:
        claim, expression = rule.get("claim") or "", rule.get("expression") or ""
        if bool(claim) == bool(expression):
            raise ConfigurationError(f"{where}: Invalid value: exactly one of claim and expression must be set")
        if claim:
            return Rule(None, rule.get("message") or "", claim, rule.get("requiredValue") or "")
        return Rule(self._compiled(self._claims, expression, f"{where}.expression", (cel.BOOL,)), rule.get("message") or "")

    def _check_email(self, where: str) -> None:
        """An address nobody verified is nobody's name."""
        program = self._username.program if self._username else None
        if program is None or not re.search(r"claims\.email\b|claims\[.email.\]", program.source):
            return
        programs = [program, *self._extra.values(), *(rule.program for rule in self._claim_rules if rule.program)]
        if not any("email_verified" in each.source for each in programs):
            text = "claims.email_verified must be used where claims.email is, or in a claimValidationRules expression"
            raise ConfigurationError(f"{where}: Invalid value: {program.source!r}: {text}")

    # ---- using it

    def user(self, claims: Mapping[str, Any]) -> User:
        """The user of a token whose signature, issuer, audience and times are good. Raises Refused."""
        budget = Budget()
        for rule in self._claim_rules:
            self._meet(rule, claims, budget)
        assert self._username is not None
        name = self._name(claims, budget)
        uid = self._text(self._uid, claims, budget) if self._uid else ""
        groups = tuple(self._texts(self._groups, claims, budget)) if self._groups else ()
        extra = {key: tuple(_strings(_value(program, {"claims": claims}, budget), key)) for key, program in self._extra.items()}
        user = User(name, uid, (*groups, AUTHENTICATED), {key: values for key, values in extra.items() if values})
        info = {"username": name, "uid": uid, "groups": list(groups), "extra": {k: list(v) for k, v in user.extra.items()}}
        for rule in self._user_rules:
            if rule.program is not None and _value(rule.program, {"user": info}, budget) is not True:
                raise Refused(f"oidc: error evaluating user info validation rule: validation expression '{rule.program.source}' failed: {rule.message}")
        return user

    def _meet(self, rule: Rule, claims: Mapping[str, Any], budget: Budget) -> None:
        if rule.program is not None:
            if _value(rule.program, {"claims": claims}, budget) is not True:
                raise Refused(f"oidc: error evaluating claim validation expression: validation expression '{rule.program.source}' failed: {rule.message}")
        elif rule.claim not in claims:
            raise Refused(f"oidc: required claim {rule.claim} not present in ID token")
        elif claims[rule.claim] != rule.value:
            raise Refused(f"oidc: required claim {rule.claim} value does not match")

    def _name(self, claims: Mapping[str, Any], budget: Budget) -> str:
        source = self._username
        assert source is not None
        if source.claim == "email" and claims.get("email_verified", True) is not True:
            raise Refused("oidc: email not verified")
        name = self._text(source, claims, budget)
        if not name:
            raise Refused("oidc: the username of the token is empty")
        return name

    def _text(self, source: Source, claims: Mapping[str, Any], budget: Budget) -> str:
        if source.program is not None:
            value = _value(source.program, {"claims": claims}, budget)
        else:
            value = claims.get(source.claim)
        if not isinstance(value, str):
            raise Refused(f"oidc: claim {source.claim or 'mapping'} is absent or not a string")
        return source.prefix + value if value else ""

    def _texts(self, source: Source, claims: Mapping[str, Any], budget: Budget) -> list[str]:
        value = _value(source.program, {"claims": claims}, budget) if source.program is not None else claims.get(source.claim)
        return [source.prefix + text for text in _strings(value, source.claim)]


def _value(program: Program, bindings: Mapping[str, Any], budget: Budget) -> Any:
    try:
        return json_of(program.evaluate(bindings, budget))
    except CelError as error:
        raise Refused(f"oidc: error evaluating expression '{program.source}': {error}") from error


def _strings(value: Any, what: str) -> list[str]:
    """Nothing, one or several; raises Refused for anything else."""
    if value is None or value == "":
        return []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise Refused(f"oidc: {what} is neither a string nor a list of strings")
    return [each for each in values if each]


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}: Invalid value: must be an object")
    return value
