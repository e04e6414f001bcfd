"""Who may do what: RBAC, the node authorizer, the bootstrap roles and the checks against escalation."""
