"""Who may do what, who did what, and how a person's traces are taken out again."""
