"""Encryption of objects at rest. Source: Kubernetes documentation, "Encrypting Confidential Data at Rest"."""
