"""`KvCache`: the engine's pool of paged KV blocks, and who holds how many.

Only counts matter here, not which block: paging means that any free block serves. PURE.
"""

from __future__ import annotations


class KvCache:
    """Blocks held per request; the sum of all never exceeds the pool."""

    __slots__ = ("_held", "block_tokens", "max_blocks", "used_blocks")

    def __init__(self, max_blocks: int, block_tokens: int) -> None:
        """Start with every block free; both numbers >= 1."""
        if max_blocks < 1 or block_tokens < 1:
            raise ValueError(f"need at least one block of one token, got {max_blocks} of {block_tokens}")
        self.max_blocks = max_blocks
        self.block_tokens = block_tokens
        self.used_blocks = 0
        self._held: dict[str, int] = {}

    @property
    def free_blocks(self) -> int:
        """Blocks that nobody holds."""
        return self.max_blocks - self.used_blocks

    def blocks_for(self, tokens: int) -> int:
        """Blocks that `tokens` tokens of one sequence occupy."""
        return -(-tokens // self.block_tokens)

    def held(self, request_id: str) -> int:
        """Blocks held by the request, 0 when unknown."""
        return self._held.get(request_id, 0)

    def fits(self, blocks: int) -> bool:
        """Whether so many more blocks are free; changes nothing."""
        return blocks <= self.free_blocks

    def reserve(self, request_id: str, blocks: int) -> None:
        """Give the request so many more blocks.

        Raises:
            ValueError: they are not free; ask `fits` first.
        """
        if not self.fits(blocks):
            raise ValueError(f"{request_id!r} wants {blocks} blocks, {self.free_blocks} are free")
        self.used_blocks += blocks
        self._held[request_id] = self.held(request_id) + blocks

    def release(self, request_id: str) -> None:
        """Take back all blocks of the request; nothing happens when it holds none."""
        self.used_blocks -= self._held.pop(request_id, 0)
