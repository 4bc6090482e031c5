"""The gRPC face: KServe v2 as Triton serves it, health and reflection."""
