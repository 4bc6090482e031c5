"""The faces: gRPC and HTTP, in and out. Only here are their status codes known."""
