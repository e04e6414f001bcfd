"""batch/v2alpha1 (1.5 to 1.20) and batch/v1beta1 (1.8 to 1.24): CronJob under other names, otherwise as it is."""
from __future__ import annotations

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import each

_V1BETA1 = Package("batch.v1beta1", "batch", "v1beta1", "batch.v1", ("CronJob",), kept=frozenset(("JobSpec",)))
_V2ALPHA1 = Package("batch.v2alpha1", "batch", "v2alpha1", "batch.v1", ("CronJob",), kept=frozenset(("JobSpec",)))
PACKAGES = (_V1BETA1, _V2ALPHA1)
VERSIONS = (*each(_V1BETA1, "batch", "1.21", "1.25", "cronjobs"), *each(_V2ALPHA1, "batch", "1.8", "1.21", "cronjobs"))
