"""What policies need to know, from the shared watches. Pods of the whole cluster are followed only while there is a policy."""
from __future__ import annotations

from collections.abc import Callable

from tiffin.client.cache import Caches, Subscriber
from tiffin.machinery.object import Object, Resource
from tiffin.proxy.policies import Policies

NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies")
NAMESPACES = Resource("", "v1", "namespaces")
PODS = Resource("", "v1", "pods")


class PolicyWatch:
    """Feeds `policies`, and calls `wake` when something follows from it."""

    def __init__(self, policies: Policies, caches: Caches, wake: Callable[[], None]) -> None:
        self._policies, self._caches, self._wake = policies, caches, wake
        self._pods = self._then_wake(policies.pod_changed)
        self._follows_pods = False
        caches.add(NAMESPACES).subscribe(self._then_wake(policies.namespace_changed))
        caches.add(NETWORK_POLICIES).subscribe(self._policy_changed)

    async def synced(self) -> None:
        """Returns when all is known: before that, what isolates pods must not be taken out of the table."""
        await self._caches.synced((NAMESPACES, NETWORK_POLICIES))
        if self._follows_pods:
            await self._caches.synced((PODS,))

    def _then_wake(self, changed: Subscriber) -> Subscriber:
        def tell(old: Object | None, new: Object | None) -> None:
            changed(old, new)
            if self._policies.is_dirty:
                self._wake()

        return tell

    def _policy_changed(self, old: Object | None, new: Object | None) -> None:
        self._policies.policy_changed(old, new)
        if self._policies.in_force and not self._follows_pods:
            self._follows_pods = True
            self._caches.add(PODS).subscribe(self._pods)
        elif self._follows_pods and not self._policies.in_force:
            self._follows_pods = False
            self._caches[PODS].unsubscribe(self._pods)
            self._caches.drop_unused(PODS)
            self._policies.forget_pods()
        if self._policies.is_dirty:
            self._wake()
