from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagesched_gateway.settings.config import parse_config, to_mapping
from sagesched_gateway.settings.reloadable import RELOADABLE, take_reloadable

QUIET = {"predictor": {"mode": "None"}}


def paths_of(mapping: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from paths_of(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_every_reloadable_setting_exists():
    all_set = {"limits": {"queuedSeconds": 60}, "drain": {"quantile": 0.9}}
    all_set |= {"traces": {"endpoint": "http://collector:4317", "resource": {}}}
    assert set(paths_of(to_mapping(parse_config(all_set)))) >= RELOADABLE


def test_equal_settings_wait_for_nothing():
    config = parse_config(QUIET)
    assert take_reloadable(config, parse_config(QUIET)) == (config, ())


def test_reloadable_settings_are_taken_and_others_named():
    wanted = parse_config(
        {
            "predictor": {"mode": "None", "history": {"size": 5}},
            "scheduling": {"policy": "ssjf", "tailWeight": 2, "ageGuard": True},
            "limits": {"queuedRequests": 1, "messageBytes": 4096, "slowReaderSeconds": 3},
            "profiles": {"m": "none"},
            "log": {"level": "debug", "format": "JSON"},
        }
    )
    running = parse_config(QUIET)
    config, waiting = take_reloadable(running, wanted)
    assert config.scheduling == wanted.scheduling
    assert (config.limits.queued_requests, config.limits.slow_reader_s) == (1, 3.0)
    assert config.limits.message_bytes == running.limits.message_bytes
    assert (config.log.level, config.log.format) == ("debug", "Text")
    assert waiting == ("predictor.history.size", "profiles", "limits.messageBytes", "log.format")


def test_the_digest_of_what_is_in_effect_is_that_of_a_file_that_says_it():
    wanted = parse_config(QUIET | {"scheduling": {"policy": "ssjf"}, "tokenizer": "/elsewhere"})
    config, _ = take_reloadable(parse_config(QUIET), wanted)
    assert config == parse_config(QUIET | {"scheduling": {"policy": "ssjf"}})
