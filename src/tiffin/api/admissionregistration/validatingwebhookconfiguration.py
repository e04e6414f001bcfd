"""ValidatingWebhookConfiguration: webhooks that may refuse what is written."""
from __future__ import annotations

from tiffin.api.admissionregistration.webhooks import COLUMNS, default_webhooks, row, side_effects, webhook_errors
from tiffin.api.kind import Context, Kind
from tiffin.api.strategy import start_generation, updates_content
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object


def validate(obj: Object, context: Context) -> list[FieldError]:
    return webhook_errors(obj, side_effects(context))


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return webhook_errors(new, side_effects(context, old))


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingWebhookConfiguration",
    plural="validatingwebhookconfigurations",
    schema="io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    singular="validatingwebhookconfiguration",
    metadata_checks="m",
    any_finalizers=True,
    namespaced=False,
    categories=("api-extensions",),
    unconditional_update=False,
    default=default_webhooks,
    prepare_for_create=start_generation,
    prepare_for_update=updates_content,
    validate=validate,
    validate_update=validate_update,
    columns=COLUMNS,
    row=row,
)
