"""Who may: allow and deny policies, roles, conditions, and the decisions made by them."""
