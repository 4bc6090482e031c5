"""The demo: one trace, to Triton directly and through the gateway under each policy, and what came of it."""
