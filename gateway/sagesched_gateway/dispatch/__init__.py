"""The shell around the scheduling core: requests in, chunks out, one event loop."""
