"""What may be stored, beyond each kind's own validation: one explicit chain of plugins, one file per plugin."""
