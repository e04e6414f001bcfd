"""The files by which an administrator says who may come, what is noted of it, and how objects are encrypted at rest.

`tiffin up` takes their paths and keeps them, the server reads the files at its start. What is wrong with one keeps the server from
starting, with a message that names the file and the place in it. Without them nothing of this is loaded.
"""
from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tiffin.apiserver.admission.podsecurity.plugin import PodSecurityConfiguration
    from tiffin.apiserver.audit.auditor import Auditor
    from tiffin.apiserver.audit.log import Sink
    from tiffin.apiserver.authn.tokens import Authentication
    from tiffin.store.log import Log

FLAGS = ("audit_policy_file", "audit_log_path", "audit_webhook_config_file", "encryption_provider_config", "authentication_config",
         "admission_control_config_file")


class UnusableFile(Exception):
    """One of the files keeps the server from starting; the message says which and why."""


@dataclass(frozen=True)
class AccessFiles:
    """Absolute paths; "" for what is not wanted."""

    audit_policy_file: str = ""
    audit_log_path: str = ""
    audit_webhook_config_file: str = ""
    encryption_provider_config: str = ""
    authentication_config: str = ""
    admission_control_config_file: str = ""

    def auditor(self, data_dir: Path) -> Auditor | None:
        """What notes requests, None without a policy. Raises UnusableFile."""
        if not self.audit_policy_file:
            return None
        from tiffin.apiserver.audit.auditor import Auditor
        from tiffin.apiserver.audit.policy import Policy, PolicyError
        from tiffin.apiserver.audit.webhook import Sinks

        try:
            policy = Policy.load(Path(self.audit_policy_file))
        except PolicyError as error:
            raise UnusableFile(str(error)) from error
        sinks = [_webhook(Path(self.audit_webhook_config_file))] if self.audit_webhook_config_file else []
        if self.audit_log_path or not sinks:
            sinks.append(_log_file(self.audit_log_path or str(data_dir / "audit.log")))
        return Auditor(policy, sinks[0] if len(sinks) == 1 else Sinks(sinks))

    def encrypted(self, log: Log) -> Log:
        """The log, sealed as the configuration says. Raises UnusableFile."""
        if not self.encryption_provider_config:
            return log
        from tiffin.apiserver.encryption.configuration import ConfigurationError, Encryption
        from tiffin.store.encrypted import EncryptedLog

        try:
            return EncryptedLog(log, Encryption.load(Path(self.encryption_provider_config)))
        except ConfigurationError as error:
            raise UnusableFile(str(error)) from error

    def authentication(self, own_issuer: str) -> Authentication:
        """Who is trusted beside this server. Raises UnusableFile."""
        from tiffin.apiserver.authn.tokens import NOBODY_ELSE

        if not self.authentication_config:
            return NOBODY_ELSE
        from tiffin.apiserver.authn.oidc.configuration import load
        from tiffin.apiserver.authn.oidc.mapping import ConfigurationError

        try:
            return load(Path(self.authentication_config), time.time, own_issuer)
        except ConfigurationError as error:
            raise UnusableFile(str(error)) from error

    def pod_security(self) -> PodSecurityConfiguration:
        """What pods may be where namespaces do not say. Raises UnusableFile."""
        from tiffin.apiserver.admission.podsecurity.plugin import PRIVILEGED_BY_DEFAULT

        if not self.admission_control_config_file:
            return PRIVILEGED_BY_DEFAULT
        from tiffin.apiserver.admission.podsecurity.configuration import ConfigurationError, load

        try:
            return load(Path(self.admission_control_config_file))
        except ConfigurationError as error:
            raise UnusableFile(str(error)) from error


NO_FILES = AccessFiles()


def _log_file(path: str) -> Sink:
    from tiffin.apiserver.audit.log import LogFile

    try:
        return LogFile(path)
    except OSError as error:
        raise UnusableFile(f"audit log {path}: {error}") from error


def _webhook(path: Path) -> Sink:
    """Posts to the server of a kubeconfig."""
    from tiffin.apiserver.audit.webhook import Webhook
    from tiffin.client.kubeconfig import KubeconfigError, client_from_kubeconfig, load_file

    try:
        config = load_file(path)
        client = client_from_kubeconfig(config)
        server = config.clusters[config.contexts[config.current_context]["cluster"]]["server"]
    except (KubeconfigError, OSError, ValueError) as error:
        raise UnusableFile(f"audit webhook config {path}: {error}") from error
    target = "" if urlsplit(server).path.strip("/") else "/"

    async def post(body: bytes) -> int:
        async with await client.open("POST", target, body=body, headers={"Content-Type": "application/json"}) as answer:
            return answer.status

    return Webhook(post)


def given(options: argparse.Namespace) -> AccessFiles:
    """What the server's command line says."""
    return AccessFiles(**{each.name: getattr(options, each.name) or "" for each in fields(AccessFiles)})


def asked(options: argparse.Namespace) -> tuple[str, ...]:
    """The flags of a command line, for `settled`; relative paths are those of the one who asks."""
    flags = {name: getattr(options, name) for name in FLAGS if getattr(options, name) is not None}
    return tuple(f"--{name.replace('_', '-')}={Path(path).absolute() if path and path != '-' else path}" for name, path in flags.items())


def settled(before: Sequence[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """The flags of the server: those it had, and what is asked for now; an empty path takes one away."""
    flags = dict(flag.split("=", 1) for flag in [*before, *wanted])
    return tuple(f"{flag}={path}" for flag, path in flags.items() if path)
