"""How many GPUs a claim asks for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from builders import the_pool

from sagesched_operator.api.reading import SpecError
from sagesched_operator.build.claim_template import claim_template


def claim_of(limit):
    return claim_template(the_pool({"resources": {"limits": {"nvidia.com/gpu": limit}}}))


@pytest.mark.parametrize(("limit", "count"), [(2, 2), ("2", 2), ("1.0", 1), ("4000m", 4)])
def test_a_limit_is_read_as_kubernetes_reads_it(limit, count):
    (request,) = claim_of(limit)["spec"]["spec"]["devices"]["requests"]
    assert request["exactly"]["count"] == count


@pytest.mark.parametrize("limit", ["0.5", "1500m"])
def test_a_part_of_a_gpu_is_refused_by_its_path(limit):
    with pytest.raises(SpecError, match=f"spec.resources.limits.nvidia.com/gpu: must be a whole .*{limit}"):
        claim_of(limit)
