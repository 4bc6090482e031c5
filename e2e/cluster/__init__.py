"""A real Kubernetes control plane for tests and benchmarks: its programs, its processes, its credentials."""
