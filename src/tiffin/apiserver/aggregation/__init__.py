"""The aggregation layer: APIServices, and group versions that other servers answer. Source: Kubernetes, "API Aggregation Layer"."""
