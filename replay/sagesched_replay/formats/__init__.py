"""Trace files of several kinds, read into the one kind of record that replay draws from."""
