"""PodSecurity: the Pod Security Standards, enforced, warned of and noted for the audit log, by labels of the namespace."""
