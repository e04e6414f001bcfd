"""Who did what: the audit policy, the events, and where they go. Source: Kubernetes documentation, "Auditing"."""
