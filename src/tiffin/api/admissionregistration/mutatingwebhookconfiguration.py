"""MutatingWebhookConfiguration: webhooks that may change what is written."""
from __future__ import annotations

from tiffin.api.admissionregistration.webhooks import COLUMNS, default_webhooks, row, side_effects, webhook_errors
from tiffin.api.kind import Context, Kind
from tiffin.api.strategy import start_generation, updates_content
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object


def default(obj: Object) -> None:
    default_webhooks(obj)
    for hook in obj.get("webhooks") or ():
        hook.setdefault("reinvocationPolicy", "Never")


def validate(obj: Object, context: Context) -> list[FieldError]:
    return webhook_errors(obj, side_effects(context))


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return webhook_errors(new, side_effects(context, old))


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingWebhookConfiguration",
    plural="mutatingwebhookconfigurations",
    schema="io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    singular="mutatingwebhookconfiguration",
    metadata_checks="m",
    any_finalizers=True,
    namespaced=False,
    categories=("api-extensions",),
    unconditional_update=False,
    default=default,
    prepare_for_create=start_generation,
    prepare_for_update=updates_content,
    validate=validate,
    validate_update=validate_update,
    columns=COLUMNS,
    row=row,
)
