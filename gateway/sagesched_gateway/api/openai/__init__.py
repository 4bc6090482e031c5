"""The OpenAI face, `/v1`: completions and chats in, the same shapes out."""
