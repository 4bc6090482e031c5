"""The settings: what may be written, reading the file, following it while running, checking it."""
