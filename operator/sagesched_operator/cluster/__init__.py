"""The API server as the operator sees it: requests, kinds, and what it holds of the children in memory."""
