"""Policies to compare with, one module each: formula, source, what was left open. They are never served."""
