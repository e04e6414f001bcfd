"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: servers of others that complete or refuse requests.

Rules
* Mutating webhooks are asked one after another, ordered by the name of their configuration and their place in it; each sees what those
  before it made. Validating ones are asked all at once, and the first in that order that refuses words the answer.
* A webhook that cannot be asked, or answers nonsense, is passed over with `failurePolicy: Ignore`, and fails the request otherwise.
* A webhook that may have side effects beyond its answer is not asked in a dry run; the request is refused.
* Nobody is asked about webhook configurations and admission policies themselves.
* Configurations are looked at again only when one has changed. Where there is none, a request costs a comparison of numbers.
Source: Kubernetes documentation "Dynamic Admission Control".
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import ANY, Plugin
from tiffin.apiserver.admission.matching import EXEMPT, GROUP, Criteria, Equivalents
from tiffin.apiserver.admission.review import InvalidAnswer, Verdict, denial, review_of, verdict, version_for
from tiffin.apiserver.admission.views import View, admission_request, converted, decode, name_in_request, returned, take, view
from tiffin.apiserver.authz.attributes import Attributes, Decision
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.webhooks.client import InvalidClientConfig, WebhookClient, WebhookError
from tiffin.machinery import errors
from tiffin.machinery.decode import DecodeError
from tiffin.machinery.field import shown
from tiffin.machinery.jsonpatch import apply_json_patch
from tiffin.machinery.object import Object, Resource, name_of
from tiffin.machinery.patch import PatchError

if TYPE_CHECKING:
    from tiffin.apiserver.admission.evaluation import Conditions, Evaluator

logger = logging.getLogger(__name__)

Authorize = Callable[[Attributes], Decision]
MUTATING = Resource(GROUP, "v1", "mutatingwebhookconfigurations")
VALIDATING = Resource(GROUP, "v1", "validatingwebhookconfigurations")
_HARMLESS = ("None", "NoneOnDryRun")


class CallFailed(Exception):
    """A webhook could not be asked, or its answer could not be used; the text follows "failed calling webhook …: "."""


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of a configuration."""

    configuration: str
    index: int
    """Its place among all webhooks of its kind."""
    spec: Object
    criteria: Criteria

    @property
    def name(self) -> str:
        return self.spec["name"]  # type: ignore[no-any-return]

    @property
    def key(self) -> str:
        """Unique among all webhooks, though names need not be."""
        return f"{self.configuration}/{self.index}"


class Hooks:
    """The webhooks of all configurations of one resource, in their order."""

    def __init__(self, reader: Reader, resource: Resource, equivalents: Equivalents) -> None:
        self._reader, self._resource, self._equivalents = reader, resource, equivalents
        self._generation = -1
        self._hooks: list[Hook] = []
        self._chosen: dict[tuple[str, str], list[Hook]] = {}
        self._conditions: dict[str, Conditions] = {}
        reader.follow(resource, self._forget)

    def _forget(self) -> None:
        self._generation = -1

    def concerned(self, group_resource: str, operation: str) -> list[Hook]:
        """Those whose rules might match a request."""
        generation = self._equivalents.registry.generation
        if generation != self._generation:
            self._hooks, self._chosen, self._generation = self._load(), {}, generation
        if not self._hooks:
            return self._hooks
        key = (group_resource, operation)
        if key not in self._chosen:
            of_interest = [h for h in self._hooks if h.criteria.may_concern(group_resource, operation, self._equivalents)]
            self._chosen[key] = [] if group_resource in EXEMPT else of_interest
        return self._chosen[key]

    def compiled(self, hook: Hook, compile: Callable[[list[Object], bool], Conditions]) -> Conditions:
        """The match conditions of a webhook."""
        conditions = self._conditions.get(hook.key)
        if conditions is None:
            conditions = self._conditions[hook.key] = compile(hook.spec["matchConditions"], hook.spec.get("failurePolicy") != "Ignore")
        return conditions

    def _load(self) -> list[Hook]:
        self._conditions.clear()
        pairs = [(name_of(c), spec) for c in self._reader.list(self._resource) for spec in c.get("webhooks") or ()]
        return [Hook(name, index, spec, Criteria(spec, spec.get("rules") or ())) for index, (name, spec) in enumerate(pairs) if spec.get("rules")]


class _Webhooks(Plugin):
    """What both plugins share: choosing and asking."""

    resources = ANY
    operations = ("CREATE", "UPDATE", "DELETE", "CONNECT")
    word = ""

    def __init__(self, reader: Reader, equivalents: Equivalents, client: WebhookClient, authorize: Authorize, resource: Resource) -> None:
        self._reader, self._equivalents, self._client, self._authorize = reader, equivalents, client, authorize
        self._hooks = Hooks(reader, resource, equivalents)
        self._evaluator: Evaluator | None = None

    def _wanted(self, hook: Hook, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> View | None:
        """What the webhook is shown, None if it is not concerned."""
        resource = hook.criteria.resource(a, self._equivalents, name_in_request(a, obj))
        if resource is None or not hook.criteria.selects(self._reader, a, obj, old):
            return None
        seen = view(self._equivalents.registry, a, resource, obj, old)
        return seen if not hook.spec.get("matchConditions") or self._meets_conditions(hook, a, seen) else None

    def _meets_conditions(self, hook: Hook, a: AdmissionAttributes, seen: View) -> bool:
        """Raises a 403 for conditions that have no value, unless the webhook's failures are ignored."""
        from tiffin.apiserver.admission.evaluation import Conditions, Evaluator, Failed

        if self._evaluator is None:
            self._evaluator = Evaluator(self._reader, self._equivalents.registry, self._authorize)
        conditions = self._hooks.compiled(hook, Conditions)
        try:
            return conditions.hold(self._evaluator.bindings(a, seen))
        except Failed as failed:
            raise forbidden(a, seen.obj, str(failed)) from failed

    async def _ask(self, hook: Hook, a: AdmissionAttributes, seen: View, mutating: bool) -> Verdict:
        """Raises CallFailed, or the ApiError of a refusal."""
        if a.dry_run and hook.spec.get("sideEffects") not in _HARMLESS:
            raise errors.bad_request(f"admission webhook {shown(hook.name)} does not support dry run")
        version, uid = version_for(hook.spec.get("admissionReviewVersions") or ()), str(uuid.uuid4())
        request = admission_request(self._equivalents.registry, a, seen, seen.obj)
        question = review_of(version, uid, request, seen.obj, seen.old)
        try:
            answer = await self._client.post(hook.spec["clientConfig"], question, hook.spec.get("timeoutSeconds") or 10)
            found = verdict(answer, version, uid, mutating)
        except InvalidClientConfig as error:
            raise CallFailed(f"could not get REST client: {error}") from error
        except WebhookError as error:
            raise CallFailed(f"failed to call webhook: {error}") from error
        except InvalidAnswer as error:
            raise CallFailed(f"received invalid webhook response: {error}") from error
        a.warnings += found.warnings
        a.annotations.update({f"{hook.name}/{key}": value for key, value in found.annotations.items()})
        if not found.allowed:
            raise denial(hook.name, found.result)
        return found

    def _pass_over(self, hook: Hook, a: AdmissionAttributes, failure: CallFailed, place: str) -> None:
        """Goes on without the webhook where its policy says so, else raises the 500."""
        message = f"failed calling webhook {shown(hook.name)}: {failure}"
        logger.warning("%s", message)
        if hook.spec.get("failurePolicy") != "Ignore":
            raise errors.internal_error(message) from failure
        a.annotations[f"failed-open.{self.word}.webhook.admission.k8s.io/{place}"] = hook.name


class MutatingWebhooks(_Webhooks):
    word = "mutation"

    def __init__(self, reader: Reader, equivalents: Equivalents, client: WebhookClient, authorize: Authorize) -> None:
        super().__init__(reader, equivalents, client, authorize, MUTATING)

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> Awaitable[None] | None:
        hooks = self._hooks.concerned(a.group_resource, a.operation)
        return self._round(hooks, a, obj, old) if hooks else None

    async def _round(self, hooks: list[Hook], a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        rounds = a.reinvocation
        if obj is not None:
            rounds.begins(self.word, obj)
        for hook in hooks:
            seen = self._wanted(hook, a, obj, old) if rounds.is_called(self.word, hook.key) else None
            if seen is None:
                continue
            if await self._changed(hook, a, await converted(a, seen), obj):
                rounds.changed(self.word)
            if hook.spec.get("reinvocationPolicy") == "IfNeeded":
                rounds.called(self.word, hook.key)
        if obj is not None:
            rounds.ends(self.word, obj)

    async def _changed(self, hook: Hook, a: AdmissionAttributes, seen: View, obj: Object | None) -> bool:
        """Asks the webhook and does what it says; whether the object is another one now."""
        place = f"round_{int(a.reinvocation.again)}_index_{hook.index}"
        changed = False
        try:
            found = await self._ask(hook, a, seen, True)
        except CallFailed as failure:
            self._pass_over(hook, a, failure, place)
        else:
            changed = bool(found.patch) and await self._patch(hook, a, seen, obj, found.patch)
        note = {"configuration": hook.configuration, "webhook": hook.name, "mutated": changed}
        a.annotations[f"mutation.webhook.admission.k8s.io/{place}"] = orjson.dumps(note).decode()
        return changed

    async def _patch(self, hook: Hook, a: AdmissionAttributes, seen: View, obj: Object | None, patch: list[Any]) -> bool:
        if obj is None or seen.obj is None:
            words = "attempted to modify the object, which is not supported for this operation"
            raise errors.internal_error(f"admission webhook {shown(hook.name)} {words}")
        try:
            patched = apply_json_patch(seen.obj, patch)
            if patched == seen.obj:
                return False
            patched = orjson.loads(orjson.dumps(patched))  # the patch shares what it left alone
            decode(seen, patched)
        except (PatchError, DecodeError) as error:
            raise errors.internal_error(str(error)) from error
        take(a, seen, obj, await returned(a, seen, patched))
        return True


class ValidatingWebhooks(_Webhooks):
    word = "validating"

    def __init__(self, reader: Reader, equivalents: Equivalents, client: WebhookClient, authorize: Authorize) -> None:
        super().__init__(reader, equivalents, client, authorize, VALIDATING)

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> Awaitable[None] | None:
        hooks = self._hooks.concerned(a.group_resource, a.operation)
        if not hooks:
            return None
        wanted = [(hook, seen) for hook in hooks if (seen := self._wanted(hook, a, obj, old)) is not None]
        return self._all(wanted, a) if wanted else None

    async def _all(self, wanted: list[tuple[Hook, View]], a: AdmissionAttributes) -> None:
        results = await asyncio.gather(*(self._checked(hook, a, seen) for hook, seen in wanted), return_exceptions=True)
        for result in results:
            if result is not None:
                raise result

    async def _checked(self, hook: Hook, a: AdmissionAttributes, seen: View) -> None:
        try:
            await self._ask(hook, a, await converted(a, seen), False)
        except CallFailed as failure:
            self._pass_over(hook, a, failure, f"round_0_index_{hook.index}")
