"""Versions of the API that Kubernetes has retired, one file per old group; loaded only where they are asked for (`load.py`)."""
