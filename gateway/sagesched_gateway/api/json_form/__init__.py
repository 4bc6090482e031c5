"""Triton's JSON forms of requests and answers, to and from the messages of KServe v2."""
