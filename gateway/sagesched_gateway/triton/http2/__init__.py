"""A gRPC client for one method of one server on the event loop's own thread: see `channel.StreamChannel`."""
