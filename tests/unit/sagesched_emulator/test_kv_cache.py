import pytest

from sagesched_emulator.kv_cache import KvCache


def test_counts_blocks_rounding_up() -> None:
    cache = KvCache(max_blocks=10, block_tokens=4)
    assert [cache.blocks_for(tokens) for tokens in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]


def test_reserves_adds_up_and_releases_all() -> None:
    cache = KvCache(max_blocks=10, block_tokens=4)
    cache.reserve("a", 3)
    cache.reserve("b", 2)
    cache.reserve("a", 1)
    assert (cache.held("a"), cache.held("b"), cache.used_blocks, cache.free_blocks) == (4, 2, 6, 4)
    cache.release("a")
    assert (cache.held("a"), cache.used_blocks) == (0, 2)


def test_asking_changes_nothing() -> None:
    cache = KvCache(max_blocks=2, block_tokens=4)
    assert cache.fits(2)
    assert not cache.fits(3)
    assert cache.free_blocks == 2


def test_refuses_what_is_not_free() -> None:
    cache = KvCache(max_blocks=2, block_tokens=4)
    with pytest.raises(ValueError, match="wants 3 blocks, 2 are free"):
        cache.reserve("a", 3)
    assert cache.held("a") == 0


def test_releasing_a_stranger_is_nothing() -> None:
    cache = KvCache(max_blocks=2, block_tokens=4)
    cache.release("stranger")
    assert cache.used_blocks == 0


def test_refuses_an_empty_pool() -> None:
    with pytest.raises(ValueError, match="at least one block"):
        KvCache(max_blocks=0, block_tokens=4)
