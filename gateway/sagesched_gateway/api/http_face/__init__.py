"""The HTTP face: Triton's `generate`, `generate_stream` and `infer`; what the OpenAI face shares with it."""
