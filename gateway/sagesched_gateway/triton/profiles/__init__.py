"""Tensor contracts, one module per kind of model."""
