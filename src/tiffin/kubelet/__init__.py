"""The node agent: pods of one node, kept running through a CRI runtime. `plan.py` decides, `run.py` acts."""
