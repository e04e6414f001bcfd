"""Names of the resources that controllers watch and write."""
from __future__ import annotations

from tiffin.machinery.object import Resource
from tiffin.runtime.controller import PolicyRule

CONFIG_MAPS = Resource("", "v1", "configmaps")
ENDPOINTS = Resource("", "v1", "endpoints")
NAMESPACES = Resource("", "v1", "namespaces")
NODES = Resource("", "v1", "nodes")
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims")
PERSISTENT_VOLUMES = Resource("", "v1", "persistentvolumes")
PODS = Resource("", "v1", "pods")
REPLICATION_CONTROLLERS = Resource("", "v1", "replicationcontrollers")
RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas")
SECRETS = Resource("", "v1", "secrets")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")
SERVICES = Resource("", "v1", "services")
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions")
DAEMON_SETS = Resource("apps", "v1", "daemonsets")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
REPLICA_SETS = Resource("apps", "v1", "replicasets")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets")
HORIZONTAL_POD_AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers")
CRON_JOBS = Resource("batch", "v1", "cronjobs")
JOBS = Resource("batch", "v1", "jobs")
CERTIFICATE_REQUESTS = Resource("certificates.k8s.io", "v1", "certificatesigningrequests")
SUBJECT_ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")
IP_ADDRESSES = Resource("networking.k8s.io", "v1", "ipaddresses")
SERVICE_CIDRS = Resource("networking.k8s.io", "v1", "servicecidrs")
POD_DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets")
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses")
VOLUME_ATTRIBUTES_CLASSES = Resource("storage.k8s.io", "v1", "volumeattributesclasses")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles")
CUSTOM_RESOURCE_DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")

EVENTS_RULE = PolicyRule(("", "events.k8s.io"), ("events",), ("create", "patch", "update"))
"""Every controller that records events may."""
