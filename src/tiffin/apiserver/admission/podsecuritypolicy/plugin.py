"""The PodSecurityPolicy admission plugin: a pod needs one policy that it may use and that allows it.

Rules
* A policy may be used by whoever has the verb `use` on it: the pod's own service account, or who writes the pod.
* Policies are tried by name. When a pod is made, the first one that allows it as it is decides; if there is none, the first one that
  allows it with what the policy fills in. Its name is noted on the pod.
* Before a pod is stored, and when its spec changes, it is looked at again, and nothing is filled in then.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import orjson

from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden, replace_contents
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.admission.podsecuritypolicy.provider import complete, violations
from tiffin.apiserver.authz.attributes import Attributes, Decision
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.user import AUTHENTICATED, User, service_account_groups, service_account_name
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, Resource, annotations_of, name_of

POLICIES = Resource("policy", "v1beta1", "podsecuritypolicies")
NOTED = "kubernetes.io/psp"
Authorize = Callable[[Attributes], Decision]
_AUDIT = "podsecuritypolicy.policy.k8s.io"
_GROUPS = ("policy", "extensions")


class _Allowed(NamedTuple):
    pod: Object
    policy: str


class PodSecurityPolicy(Plugin):
    resources = ("pods",)

    def __init__(self, reader: Reader, authorize: Authorize) -> None:
        self._reader, self._authorize = reader, authorize

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if obj is None or a.operation != "CREATE" or a.subresource:
            return
        found = self._decide(a, obj, "", fills_in=True)
        replace_contents(obj, found.pod)
        metadata = obj["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), NOTED: found.policy}
        a.annotations[f"{_AUDIT}/admit-policy"] = found.policy

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if obj is None or a.subresource not in ("", "ephemeralcontainers") or (old is not None and obj["spec"] == old["spec"]):
            return
        found = self._decide(a, obj, annotations_of(obj).get(NOTED, ""), fills_in=False)
        a.annotations[f"{_AUDIT}/validate-policy"] = found.policy

    def _decide(self, a: AdmissionAttributes, pod: Object, hint: str, *, fills_in: bool) -> _Allowed:
        """The policy that decides and what it makes of the pod; raises 403 where there is none."""
        policies = sorted(self._reader.list(POLICIES), key=lambda policy: (name_of(policy) != hint, name_of(policy)))
        if not policies:
            raise forbidden(a, pod, "no providers available to validate pod request")
        completed: _Allowed | None = None
        refused: list[tuple[str, list[FieldError]]] = []
        for policy in policies:
            name, copy = name_of(policy), orjson.loads(orjson.dumps(pod))
            complete(policy, copy)
            if found := violations(policy, copy):
                refused.append((name, found))
            elif copy == pod and self._may_use(a, pod, name):
                return _Allowed(copy, name)
            elif fills_in and completed is None and self._may_use(a, pod, name):
                completed = _Allowed(copy, name)
        if completed is not None:
            return completed
        told = " ".join(str(error) for name, errors in refused if self._may_use(a, pod, name) for error in errors)
        raise forbidden(a, pod, f"unable to validate against any pod security policy: [{told}]")

    def _may_use(self, a: AdmissionAttributes, pod: Object, policy: str) -> bool:
        return any(
            self._authorize(Attributes(user, "use", group, "*", POLICIES.plural, namespace=a.namespace, name=policy)).allowed
            for user in _users(a, pod) for group in _GROUPS)


def _users(a: AdmissionAttributes, pod: Object) -> Iterator[User]:
    """The pod's account, which is the usual one to have the right, and who asks."""
    account = pod["spec"].get("serviceAccountName")
    if account:
        yield User(service_account_name(a.namespace, account), groups=(*service_account_groups(a.namespace), AUTHENTICATED))
    yield a.user
