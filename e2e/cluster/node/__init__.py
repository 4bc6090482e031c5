"""A cluster of one real node, in a network namespace of its own: nothing outside can reach it."""
