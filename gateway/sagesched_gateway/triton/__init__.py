"""Everything that speaks to Triton; implements the ports of dispatch."""
