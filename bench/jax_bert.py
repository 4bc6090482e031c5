"""The product's BERT in JAX: `training/minilm_graph.py`, pooled as `training/trunk_graph.py` does.

Only for training it; what is trained is exported, quantised and timed as the product's graph.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from sagesched_predictor.training.minilm_graph import MASKED, BertShape, Weights
from sagesched_predictor.training.trunk_graph import NUM_LAYERS, PADDING_PENALTY

DROPOUT = 0.1
WORDS = "embeddings.word_embeddings.weight"
TABLES = ("word", "position", "token_type")

Values = dict[str, Any]


def pooled_of(weights: Values, shape: BertShape, ids: Any, mask: Any, key: Any = None) -> Any:
    """Pooled layers (n, 3 x hidden), as `build_pooled_encoder` computes them; with a key, with dropout."""
    keys = iter(jax.random.split(key, 2 * NUM_LAYERS + 1)) if key is not None else None

    def dropped(x: Any) -> Any:
        if keys is None:
            return x
        return x * jax.random.bernoulli(next(keys), 1 - DROPOUT, x.shape) / (1 - DROPOUT)

    def dense(scope: str, x: Any) -> Any:
        return x @ weights[f"{scope}.weight"].T + weights[f"{scope}.bias"]

    def norm(scope: str, x: Any) -> Any:
        x = x - x.mean(-1, keepdims=True)
        scale = jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + shape.norm_epsilon)
        return x * scale * weights[f"{scope}.weight"] + weights[f"{scope}.bias"]

    def attended(scope: str, x: Any) -> Any:
        query, key, content = (
            dense(f"{scope}.{part}", x).reshape(*x.shape[:2], shape.num_heads, shape.head_size)
            for part in ("query", "key", "value")
        )
        scores = jnp.einsum("nqhd,nkhd->nhqk", query, key) / np.sqrt(shape.head_size)
        shares = jax.nn.softmax(scores + (1 - mask)[:, None, None, :] * MASKED, axis=-1)
        return jnp.einsum("nhqk,nkhd->nqhd", shares, content).reshape(x.shape)

    tables = {name: weights[f"embeddings.{name}_embeddings.weight"] for name in TABLES}
    x = tables["word"][ids] + tables["position"][: ids.shape[1]] + tables["token_type"][0]
    x = dropped(norm("embeddings.LayerNorm", x))
    layers = []
    for number in range(NUM_LAYERS):
        scope = f"encoder.layer.{number}"
        mixed = dense(f"{scope}.attention.output.dense", attended(f"{scope}.attention.self", x))
        x = norm(f"{scope}.attention.output.LayerNorm", x + dropped(mixed))
        inner = jax.nn.gelu(dense(f"{scope}.intermediate.dense", x), approximate=False)
        x = norm(f"{scope}.output.LayerNorm", x + dropped(dense(f"{scope}.output.dense", inner)))
        layers.append(x)
    count = jnp.maximum(mask.sum(1, keepdims=True), 1)
    means = [(layer * mask[:, :, None]).sum(1) / count for layer in layers[1:]]
    highest = (layers[-1] + (1 - mask)[:, :, None] * PADDING_PENALTY).max(1)
    return jnp.concatenate([*means, highest], axis=1)


def trainable(weights: Weights, fixed: Collection[str] = ()) -> dict[str, npt.NDArray[np.float32]]:
    """The tensors that the pooled layers depend on, without those named in `fixed`."""
    kept = ("embeddings.", *(f"encoder.layer.{number}." for number in range(NUM_LAYERS)))
    return {
        name: array
        for name, array in weights.items()
        if name.startswith(kept) and name.endswith((".weight", ".bias")) and name not in fixed
    }


def random_weights(config: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
    """A BERT that has learned nothing, as BERT's authors start theirs."""
    rng = np.random.default_rng(0)
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    sizes: dict[str, tuple[int, ...]] = {
        WORDS: (int(config["vocab_size"]), hidden),
        "embeddings.position_embeddings.weight": (int(config["max_position_embeddings"]), hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
    }
    for number in range(int(config["num_hidden_layers"])):
        scope = f"encoder.layer.{number}"
        for part in ("query", "key", "value"):
            sizes[f"{scope}.attention.self.{part}.weight"] = (hidden, hidden)
        sizes[f"{scope}.attention.output.dense.weight"] = (hidden, hidden)
        sizes[f"{scope}.intermediate.dense.weight"] = (inner, hidden)
        sizes[f"{scope}.output.dense.weight"] = (hidden, inner)
    weights = {name: rng.normal(size=size).astype(np.float32) * 0.02 for name, size in sizes.items()}
    for name, size in sizes.items():
        if not name.startswith("embeddings."):
            weights[name.replace(".weight", ".bias")] = np.zeros(size[0], dtype=np.float32)
    outputs = [name.removesuffix(".dense.weight") for name in sizes if name.endswith("output.dense.weight")]
    for scope in ("embeddings", *outputs):
        weights[f"{scope}.LayerNorm.weight"] = np.ones(hidden, dtype=np.float32)
        weights[f"{scope}.LayerNorm.bias"] = np.zeros(hidden, dtype=np.float32)
    return weights
