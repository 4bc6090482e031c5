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
        limits.queued_bytes,
        limits.full_code,
        limits.unread_bytes,
        limits.slow_reader_s,
    )


def test_limits_follow_the_settings_in_effect():
    settings = LiveSettings(parse_config(QUIET))
    limits = LiveLimits(settings)
    default = LimitsConfig()
    assert all_of(limits) == all_of(default)
    wanted = {"messageBytes": 4096, "jsonDepth": 8, "unreadBytes": 2048, "slowReaderSeconds": 2}
    wanted |= {"queuedBytes": 1024, "fullCode": "RESOURCE_EXHAUSTED"}
    settings.take(parse_config(QUIET | {"limits": wanted}))
    waiting_for_a_restart = (default.message_bytes, default.header_bytes)
    assert all_of(limits) == (*waiting_for_a_restart, 8, 1024, "RESOURCE_EXHAUSTED", 2048, 2.0)
