"""Certificates of the gateway: read, checked, followed while it runs."""
