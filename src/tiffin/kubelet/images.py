"""Images: present when a container starts, or a failure that says why.

Policies are Kubernetes' with one addition for clusters without a registry: an image that is on the node though this node never
pulled it was brought by hand (`tiffin image load`), and nobody has a newer one; `Always` then does not ask a registry. Which images
were pulled is recorded in `<root>/image_manager/pulled`, as a kubelet does (KEP-2535).
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tiffin.kubelet import registry
from tiffin.kubelet.backoff import FIRST, LONGEST
from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.runtime import Runtime, RuntimeFault
from tiffin.machinery.object import Object, uid_of
from tiffin.machinery.timestamps import format_duration
from tiffin.runtime.clock import Clock

Record = Callable[[str, str, str], None]
"""Records an event about the container: type, reason, message."""


class ImageFault(Exception):
    """No image for a container. `reason` is that of its waiting state; `back_off` its reason and message while waiting for `retry_at`."""

    def __init__(self, reason: str, message: str, retry_at: datetime | None = None, back_off: tuple[str, str] | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.retry_at, self.back_off = reason, message, retry_at, back_off


@dataclass(slots=True)
class _Delay:
    delay: timedelta
    until: datetime
    cause: str


class Images:
    """Makes images present, one decision per container start."""

    def __init__(self, runtime: Runtime, clock: Clock, root: Path) -> None:
        self._runtime, self._clock = runtime, clock
        self._records = root / "image_manager" / "pulled"
        self._delays: dict[tuple[str, str], _Delay] = {}

    async def ensure(self, pod: Object, container: Object, sandbox: cri.PodSandboxConfig, secrets: Iterable[Object], record: Record) -> cri.Image:
        """The image of a container, pulled where its policy asks for it. Raises ImageFault."""
        name, policy = container.get("image", ""), container.get("imagePullPolicy") or "IfNotPresent"
        image = self._named(name, record)
        present = await self._present(image, name, record)
        if present is not None and (policy != "Always" or not self._was_pulled(present.id)):
            record("Normal", "Pulled", f'Container image "{name}" already present on machine and can be accessed by the pod')
            return present
        if policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            record("Warning", "ErrImageNeverPull", message)
            raise ImageFault("ErrImageNeverPull", message)
        return await self._pull(pod, name, image, sandbox, secrets, record)

    def _named(self, name: str, record: Record) -> str:
        try:
            return registry.with_tag(name)
        except registry.ImageNameError as error:
            message = f'Failed to apply default image tag "{name}": {error}'
            record("Warning", "InspectFailed", message)
            raise ImageFault("InvalidImageName", message) from error

    async def _present(self, image: str, name: str, record: Record) -> cri.Image | None:
        try:
            return await self._runtime.image_status(image)
        except RuntimeFault as fault:
            message = f'Failed to inspect image "{name}": {fault}'
            record("Warning", "InspectFailed", message)
            raise ImageFault("ImageInspectError", message) from fault

    async def _pull(self, pod: Object, name: str, image: str, sandbox: cri.PodSandboxConfig, secrets: Iterable[Object], record: Record) -> cri.Image:
        key, now = (uid_of(pod), name), self._clock.now()
        delay = self._delays.get(key)
        words = f'Back-off pulling image "{name}"'
        if delay and now < delay.until:
            raise ImageFault("ImagePullBackOff", f"{words}: ErrImagePull: {delay.cause}", delay.until)
        record("Normal", "Pulling", f'Pulling image "{name}"')
        try:
            await self._fetch(image, sandbox, secrets)
            found = await self._runtime.image_status(image)
        except RuntimeFault as fault:
            record("Warning", "Failed", f'Failed to pull image "{name}": {fault}')
            delay = self._lengthened(key, delay, str(fault))
            raise ImageFault("ErrImagePull", str(fault), delay.until, ("ImagePullBackOff", f"{words}: ErrImagePull: {fault}")) from fault
        if found is None:
            raise ImageFault("ErrImagePull", f'image "{name}" is not there after it was pulled', now + FIRST)
        self._delays.pop(key, None)
        self._note_pulled(found.id, image)
        took = format_duration(int((self._clock.now() - now).total_seconds() * 1000) * 10**6)
        record("Normal", "Pulled", f'Successfully pulled image "{name}" in {took} ({took} including waiting). Image size: {found.size} bytes.')
        return found

    async def _fetch(self, image: str, sandbox: cri.PodSandboxConfig, secrets: Iterable[Object]) -> None:
        """Pull with each credential that fits until one does; without any, anonymously."""
        logins = [cri.AuthConfig(**login) for login in registry.credentials(image, secrets)]
        tries: list[cri.AuthConfig | None] = [*logins] if logins else [None]
        for number, login in enumerate(tries, start=1):
            try:
                await self._runtime.pull_image(image, login, sandbox)
            except RuntimeFault:
                if number == len(tries):
                    raise
            else:
                return

    def _lengthened(self, key: tuple[str, str], old: _Delay | None, cause: str) -> _Delay:
        now = self._clock.now()
        delay = min(old.delay * 2, LONGEST) if old and now - old.until < 2 * LONGEST else FIRST
        self._delays[key] = _Delay(delay, now + delay, cause)
        return self._delays[key]

    def forget(self, uid: str) -> None:
        """Drop the back-offs of a pod that is gone."""
        for key in [key for key in self._delays if key[0] == uid]:
            del self._delays[key]

    def _record_of(self, image_id: str) -> Path:
        return self._records / hashlib.sha256(image_id.encode()).hexdigest()

    def _was_pulled(self, image_id: str) -> bool:
        return self._record_of(image_id).exists()

    def _note_pulled(self, image_id: str, image: str) -> None:
        self._records.mkdir(parents=True, exist_ok=True)
        self._record_of(image_id).write_text(f"{image_id} {image}\n")
