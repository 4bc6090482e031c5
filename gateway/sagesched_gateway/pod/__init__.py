"""What the gateway's image does for its pod besides serving: a pod's end, and Triton's model repository."""
