"""What the operator does: reconcile pools, hear the gateways, lead, and answer scalers."""
