"""CreateOptions, UpdateOptions and PatchOptions of the query. Source: API reference, meta/v1."""
from __future__ import annotations

from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.deletion import dry_run_violations
from tiffin.machinery import errors
from tiffin.machinery.field import forbidden, not_supported, required
from tiffin.machinery.validation import validate_field_manager

VALIDATION = ("", "Ignore", "Strict", "Warn")


def read_options(context: RequestContext, kind: str, apply: bool = False) -> None:
    """Checks the options of a write and notes them in the context; raises 422 with every violation."""
    query = context.query
    if not query.values:
        if apply:
            raise errors.invalid(kind, "meta.k8s.io", "", [required("fieldManager", "is required for apply patch")])
        return
    found = []
    manager = query.text("fieldManager")
    if kind == "PatchOptions":
        if apply and not manager:
            found.append(required("fieldManager", "is required for apply patch"))
        if not apply and "force" in query.values:
            found.append(forbidden("force", "may not be specified for non-apply patch"))
    found += validate_field_manager(manager, "fieldManager")
    if "dryRun" in query.values:
        found += dry_run_violations(query.values["dryRun"])
    validation = query.text("fieldValidation")
    if validation not in VALIDATION:
        found.append(not_supported("fieldValidation", validation, VALIDATION))
    if found:
        raise errors.invalid(kind, "meta.k8s.io", "", found)
    context.field_manager, context.field_validation = manager, validation
    context.dry_run = "dryRun" in query.values
