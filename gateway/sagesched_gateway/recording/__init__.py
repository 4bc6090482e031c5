"""The event log: a line per request that ended, which `sagesched-replay run --data` reads."""
