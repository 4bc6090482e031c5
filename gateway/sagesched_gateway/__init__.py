"""The gateway: a sidecar in front of Triton that decides which waiting request starts next."""
