from __future__ import annotations

from sagesched_gateway.settings.config import parse_config
from sagesched_gateway.settings.limits import Limits, LiveLimits
from sagesched_gateway.settings.live import LiveSettings
from sagesched_gateway.settings.sections.limits import LimitsConfig

QUIET = {"predictor": {"mode": "None"}}


def all_of(limits: Limits):
    return (
        limits.message_bytes,
        limits.header_bytes,
        limits.json_depth,
        limits.unread_bytes,
        limits.slow_reader_s,
    )


def test_limits_follow_the_settings_in_effect():
    settings = LiveSettings(parse_config(QUIET))
    limits = LiveLimits(settings)
    default = LimitsConfig()
    assert all_of(limits) == all_of(default)
    wanted = {"messageBytes": 4096, "jsonDepth": 8, "unreadBytes": 2048, "slowReaderSeconds": 2}
    settings.take(parse_config(QUIET | {"limits": wanted}))
    assert all_of(limits) == (default.message_bytes, default.header_bytes, 8, 2048, 2.0)
