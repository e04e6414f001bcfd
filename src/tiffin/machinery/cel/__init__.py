"""The Common Expression Language, as Kubernetes v1.36 speaks it."""
