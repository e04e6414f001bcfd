"""PodSecurityPolicy, the admission plugin that Kubernetes had until 1.24. Source: its documentation and messages of 1.19."""
