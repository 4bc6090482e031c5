"""What another policy would have done: traces through the gateway's own scheduler in virtual time."""
