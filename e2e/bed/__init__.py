"""What scenarios stand on: a cluster with our images, a pool, clients and a ledger of what they heard."""
