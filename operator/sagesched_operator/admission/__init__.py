"""What the API server would refuse, told without one: by the same schema and the same rules, in its words."""
