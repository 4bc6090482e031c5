"""Who is believed, and that what is not believed is counted."""

from __future__ import annotations

import pytest

from sagesched_gateway.api.attributes import AttributeReader
from sagesched_gateway.settings.sections.attributes import AttributesConfig


@pytest.mark.parametrize(
    ("host", "is_believed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::1", True),
        ("11.1.2.3", False),
        ("::1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_networks_are_trusted_and_names_are_not(host, is_believed):
    reader = AttributeReader(AttributesConfig(trusted_networks=("10.0.0.0/8", "fd00::/8")))
    assert reader.is_on
    assert reader.trusts(host) is is_believed
    assert reader.trusts(host) is is_believed  # from what it remembers


def test_what_is_not_believed_is_counted_once_a_request():
    counted = []
    reader = AttributeReader(AttributesConfig(), lambda: counted.append(1))
    assert not reader.is_on
    reader.ignore(["content-type", "X-SageSched-Priority", "x-sagesched-tenant"])
    assert len(counted) == 1
    reader.ignore(["content-type", "x-sagesched-report"])
    reader.ignore([])
    assert len(counted) == 1
