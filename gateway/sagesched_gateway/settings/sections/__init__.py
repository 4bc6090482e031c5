"""One file per section of the settings: its fields, what they mean, and how they are read."""
