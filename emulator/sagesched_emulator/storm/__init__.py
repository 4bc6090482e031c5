"""A storm of clients and of troubles against a gateway, with a ledger that proves that nothing is lost."""
