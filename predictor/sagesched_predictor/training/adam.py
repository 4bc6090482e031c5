"""Adam with decoupled weight decay, a warm-up and a cosine's way down.

Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

WARM_UP_STEPS = 200


def rate_at(number: Any, height: float, steps: int, warm_up: int = WARM_UP_STEPS) -> Any:
    """Learning rate of step `number`, 1 to `steps`."""
    warm = jnp.minimum(number / warm_up, 1.0)
    return height * warm * (0.5 + 0.5 * jnp.cos(jnp.pi * number / steps))


def moved(values: Any, moments: tuple[Any, Any], gradient: Any, number: Any, rate: Any, decay: float) -> Any:
    """Values and moments after step `number`; trees of arrays of which matrices decay.

    Args:
        values: before the step.
        moments: of the gradient and of its square, zeros before the first step.
        gradient: of the loss at the values.
        number: of the step, float32, from 1.
        rate: learning rate.
        decay: per unit of rate.
    """
    first, second = moments
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, second, gradient)

    def step(x: Any, m: Any, v: Any) -> Any:
        ahead = (m / (1 - 0.9**number)) / (jnp.sqrt(v / (1 - 0.99**number)) + 1e-8)
        return x - rate * (ahead + (decay * x if x.ndim > 1 else 0.0))

    return jax.tree.map(step, values, first, second), (first, second)
