"""What it costs to put a running request aside and to take it up again.

- `SWAP`: its KV cache goes to host memory and comes back later; both ways take `swap_s_per_token` per cached
  token, in series with the iteration. The papers call swapping negligible since it overlaps; 0 says so.
- `RECOMPUTE`: its cache is dropped and prompt and progress are prefilled again, at the engine's prefill
  speed, within the engine's limit of tokens per iteration. No progress is lost.

The default is swapping at 190,000 tokens per second: 131,072 bytes of KV per token (Llama-3.1-8B in bfloat16,
Qwen3-32B in FP8) over 25 GB/s, what PCIe 4.0 x16 moves in practice. Host memory is taken as large enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Way(StrEnum):
    """What becomes of the cache."""

    SWAP = "swap"
    RECOMPUTE = "recompute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preemption:
    """How requests are put aside.

    Attributes:
        way: what becomes of the cache.
        swap_s_per_token: seconds per cached token, each way, of `SWAP`.
        headroom_iterations: a request is taken up only where all that runs could grow for so many iterations;
            otherwise it would be put aside again at once. As the gateway's ledger keeps.
    """

    way: Way = Way.SWAP
    swap_s_per_token: float = 131_072 / 25e9
    headroom_iterations: int = 8

    def __post_init__(self) -> None:
        """Refuse what no engine does."""
        if self.swap_s_per_token < 0 or self.headroom_iterations < 0:
            raise ValueError("swap seconds and headroom must be at least 0")
