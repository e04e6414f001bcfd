"""What controllers count, under the names client-go's work queues use. Label values are controller names: a fixed, small set."""
from __future__ import annotations

from prometheus_client import Counter, Gauge

ADDS = Counter("workqueue_adds_total", "Total number of adds handled by workqueue", ["name"])
RETRIES = Counter("workqueue_retries_total", "Total number of retries handled by workqueue", ["name"])
DEPTH = Gauge("workqueue_depth", "Current depth of workqueue", ["name"])
RECONCILED = Counter("controller_reconcile_total", "Reconciliations by how they ended: done, waited, conflict, error or fault", ["name", "result"])
WRITES = Counter("controller_writes_total", "Writes that controllers asked the server for", ["name", "verb"])
