"""An engine's step time and limits, fitted to a gateway's recording."""
