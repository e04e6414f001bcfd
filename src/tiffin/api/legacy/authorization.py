"""authorization.k8s.io/v1beta1, served from 1.2 to 1.21: the groups of a subject were called `group`."""
from __future__ import annotations

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import Retired, changed, each, renamed
from tiffin.machinery.object import Object

_GROUP = "authorization.k8s.io"
_V1BETA1 = Package(
    "authorization.v1beta1", _GROUP, "v1beta1", "authorization.v1",
    ("LocalSubjectAccessReview", "SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"),
    {"SubjectAccessReviewSpec": {"groups": None, "group": ["[s", {"lt": "atomic"}]}},
    texts={"SubjectAccessReviewSpec": {"group": "The groups that the user is asked about as a member of."}})


def _to_v1(obj: Object) -> Object:
    return changed(obj, ("spec",), lambda spec: renamed(spec, group="groups"))


def _from_v1(obj: Object) -> Object:
    return changed(obj, ("spec",), lambda spec: renamed(spec, groups="group"))


PACKAGES = (_V1BETA1,)
VERSIONS = (
    *each(_V1BETA1, _GROUP, "1.19", "1.22", "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
    *(Retired(f"{plural}.{_GROUP}", _V1BETA1, "1.19", "1.22", from_stored=_from_v1, to_stored=_to_v1)
      for plural in ("localsubjectaccessreviews", "subjectaccessreviews")),
)
