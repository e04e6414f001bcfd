"""The authorizer of the server: administrators, then nodes, then RBAC. Nothing is allowed that none of them allows."""

from __future__ import annotations

from typing import NamedTuple

from tiffin.apiserver.authz.attributes import ALLOWED, Attributes, Decision, refusal
from tiffin.apiserver.authz.node import NodeAuthorizer
from tiffin.apiserver.authz.rbac import Rbac
from tiffin.apiserver.authz.rules import FULL_AUTHORITY, Rule
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.user import MASTERS, NODE_PREFIX, User, node_of


class RulesReview(NamedTuple):
    """What a user may do in a namespace, as far as it can be listed."""

    rules: list[Rule]
    incomplete: bool
    error: str


class Authorizer:
    """Decides every request; synchronous, from memory."""

    def __init__(self, reader: Reader) -> None:
        self.rbac = Rbac(reader)
        self._nodes = NodeAuthorizer(reader)

    def authorize(self, attributes: Attributes) -> Decision:
        user = attributes.user
        if MASTERS in user.groups:
            return ALLOWED
        if not user.name.startswith(NODE_PREFIX):
            return self.rbac.authorize(attributes)
        node = self._nodes.authorize(attributes)
        if node.allowed:
            return node
        rbac = self.rbac.authorize(attributes)
        if rbac.allowed:
            return rbac
        return Decision(False, "\n".join(reason for reason in (node.reason, rbac.reason) if reason))

    def check(self, attributes: Attributes) -> None:
        """Raises the 403 of an action that is not allowed."""
        decision = self.authorize(attributes)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)

    def rules_for(self, user: User, namespace: str) -> RulesReview:
        """The rules a SelfSubjectRulesReview shows. The node authorizer decides by object and cannot list."""
        rules, problems = self.rbac.rules_for(user, namespace)
        if MASTERS in user.groups:
            rules = [*FULL_AUTHORITY, *rules]
        if node_of(user):
            problems = ["node authorizer does not support user rule resolution", *problems]
        error = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]" if problems else ""
        return RulesReview(rules, bool(problems), error)
