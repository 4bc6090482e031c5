"""One module per policy; each opens with its formula, units and source."""
