"""Volumes: one file per type, each ending in a module-level `VOLUME`; `manager.py` puts them together for a pod."""
