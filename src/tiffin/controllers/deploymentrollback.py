"""The old way back of Deployments: who wants an earlier revision notes its number on the deployment, and the controller takes its template.

Requests of the retired `rollback` subresource leave that note; kubectl has gone back by itself since 1.16. Nothing else is done before the
note is gone. Source: Kubernetes' deployment controller.
"""
from __future__ import annotations

from collections.abc import Sequence

from tiffin.controllers import rollout as r
from tiffin.controllers.resources import DEPLOYMENTS
from tiffin.machinery.object import Object, annotations_of, dig, labels_of, name_of, replaced
from tiffin.runtime.controller import Change, RecordEvent, Update

NOTE = "deprecated.deployment.rollback.to"


def wants_back(deployment: Object) -> bool:
    """Whether somebody asked for an earlier revision, in words that say which."""
    return annotations_of(deployment).get(NOTE, "").isdecimal()


def rolled_back(deployment: Object, replica_sets: Sequence[Object]) -> list[Change]:
    """What brings the deployment back to the revision asked for (0: the one before the present), and takes the note off."""
    number = int(annotations_of(deployment)[NOTE])
    wanted = number or _last(replica_sets)
    chosen = next((rs for rs in replica_sets if r.revision(rs) == wanted), None) if wanted else None
    if chosen is None:
        message = "Unable to find the revision to rollback to." if wanted else "Unable to find last revision."
        return [RecordEvent(deployment, "Warning", "DeploymentRollbackRevisionNotFound", message), _written(deployment)]
    template = dig(chosen, "spec", "template", default={})
    if r.same_template(template, dig(deployment, "spec", "template", default={})):
        message = f'The rollback revision contains the same template as current deployment "{name_of(deployment)}"'
        return [RecordEvent(deployment, "Warning", "DeploymentRollbackTemplateUnchanged", message), _written(deployment)]
    labels = {key: value for key, value in labels_of(template).items() if key != r.HASH_LABEL}
    back = replaced(deployment, ("spec", "template"), replaced(template, ("metadata", "labels"), labels))
    kept = {key: value for key, value in annotations_of(deployment).items() if key in r.NOT_COPIED}
    taken = {key: value for key, value in annotations_of(chosen).items() if key not in r.NOT_COPIED}
    back = replaced(back, ("metadata", "annotations"), kept | taken)
    message = f'Rolled back deployment "{name_of(deployment)}" to revision {wanted}'
    return [_written(back), RecordEvent(deployment, "Normal", "DeploymentRollback", message)]


def _written(deployment: Object) -> Change:
    """The deployment without its note; it fails where another write came between."""
    notes = {key: value for key, value in annotations_of(deployment).items() if key != NOTE}
    return Update(DEPLOYMENTS, replaced(deployment, ("metadata", "annotations"), notes))


def _last(replica_sets: Sequence[Object]) -> int:
    """The second highest revision, 0 where there is none."""
    return next(iter(sorted({r.revision(rs) for rs in replica_sets}, reverse=True)[1:]), 0)
