from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagesched_gateway.scheduling.capacity import KvPolicy
from sagesched_gateway.scheduling.policies import registry
from sagesched_gateway.settings.config import PROFILES, GatewayConfig, digest, parse_config, to_mapping
from sagesched_gateway.settings.section import ConfigError
from sagesched_gateway.settings.sections.admin import ADMIN_GROUPS
from sagesched_gateway.settings.sections.attributes import AttributesConfig
from sagesched_gateway.settings.sections.engine import KV_POLICIES, EngineConfig
from sagesched_gateway.settings.sections.limits import LimitsConfig
from sagesched_gateway.settings.sections.log import LOG_LEVELS, LogConfig
from sagesched_gateway.settings.sections.openai import OpenAIConfig
from sagesched_gateway.settings.sections.predictor import HistoryConfig, PredictorConfig
from sagesched_gateway.settings.sections.recorder import PROMPT_RECORDS, RecorderConfig
from sagesched_gateway.settings.sections.scheduling import POLICIES, SchedulingConfig

NO_PREDICTOR = {"predictor": {"mode": "None"}}


def parse(**settings: object) -> GatewayConfig:
    return parse_config(NO_PREDICTOR | settings)


def test_absent_settings_take_defaults():
    config = parse()
    assert config.listen.grpc == "0.0.0.0:8001"
    assert config.triton.metrics == "127.0.0.1:18002"
    assert config.scheduling == SchedulingConfig(policy="gittins-boost", tail_weight=1.0, age_guard=False)
    assert config.engine == EngineConfig()
    assert config.drain.max_s == 300.0
    assert config.tokenizer is None


def test_every_setting_is_read():
    config = parse_config(
        {
            "listen": {"grpc": "127.0.0.1:0", "http": "[::]:80", "metrics": "localhost:9"},
            "triton": {"grpc": "triton:1", "http": "triton:2", "metrics": "triton:3"},
            "scheduling": {"policy": "ssjf", "tailWeight": 2, "ageGuard": True},
            "engine": {
                "slots": 32,
                "kvBlocks": 750,
                "blockTokens": 32,
                "kvPolicy": "MaxUtilization",
                "maxNumTokens": 8192,
                "lookahead": 0,
                "kvHeadroomIterations": 8,
            },
            "predictor": {
                "mode": "HistoryOnly",
                "encoder": "/encoder",
                "device": "GPU",
                "timeoutSeconds": 0.5,
                "history": {"size": 5, "minSimilarity": 0.9, "file": "h.npz"},
            },
            "tokenizer": "/t/tokenizer.json",
            "drain": {"maxSeconds": 0},
        }
    )
    assert config.listen.http == "[::]:80"
    assert config.triton.http == "triton:2"
    assert config.scheduling == SchedulingConfig(policy="ssjf", tail_weight=2.0, age_guard=True)
    assert config.engine == EngineConfig(
        slots=32,
        kv_blocks=750,
        block_tokens=32,
        kv_policy="MaxUtilization",
        max_num_tokens=8192,
        lookahead=0,
        kv_headroom_iterations=8,
    )
    assert config.predictor == PredictorConfig(
        mode="HistoryOnly",
        encoder="/encoder",
        device="GPU",
        timeout_s=0.5,
        history=HistoryConfig(size=5, min_similarity=0.9, file="h.npz"),
    )
    assert config.tokenizer == "/t/tokenizer.json"
    assert config.drain.max_s == 0.0


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"scheduling": {"policy": "x"}}, "scheduling.policy: unknown policy 'x', one of fcfs, ssjf, "),
        ({"scheduling": {"polcy": "fcfs"}}, "scheduling.polcy: unknown setting; did you mean 'policy'?"),
        ({"wibble": 1}, "wibble: unknown setting; known here: listen, triton, "),
        ({"scheduling": {"tailWeight": 0}}, "scheduling.tailWeight: must be a number above 0, not 0"),
        ({"scheduling": {"tailWeight": float("nan")}}, "scheduling.tailWeight: must be a number above 0"),
        ({"scheduling": {"ageGuard": "yes"}}, "scheduling.ageGuard: must be true or false, not 'yes'"),
        ({"scheduling": 3}, "scheduling: must be a mapping of settings, not 3"),
        ({"engine": {"slots": 0}}, "engine.slots: must be 'auto' or a whole number of at least 1, not 0"),
        ({"engine": {"slots": True}}, "engine.slots: must be 'auto' or a whole number"),
        ({"engine": {"lookahead": 9}}, "engine.lookahead: must be 'auto' or a whole number from 0 to 8"),
        ({"engine": {"kvPolicy": "max"}}, "engine.kvPolicy: unknown KV policy 'max', one of auto, Max"),
        ({"listen": {"grpc": "8001"}}, "listen.grpc: must be host:port with a port from 0 to 65535"),
        ({"listen": {"grpc": ":8001"}}, "listen.grpc: must be host:port"),
        ({"listen": {"grpc": "::1:8001"}}, "listen.grpc: must be host:port"),
        ({"listen": {"grpc": "a:65536"}}, "listen.grpc: must be host:port"),
        ({"listen": {"grpc": "a:²"}}, "listen.grpc: must be host:port"),
        ({"triton": {"http": "a:0"}}, "triton.http: must be host:port with a port from 1 to 65535"),
        (
            {"predictor": {"mode": "Learned"}},
            "predictor.mode: unknown mode 'Learned', one of Shipped",
        ),
        ({"predictor": {"mode": "Artifact"}}, "predictor.encoder: missing: mode Artifact needs the folder"),
        ({"predictor": {"mode": "None", "device": "TPU"}}, "predictor.device: unknown device 'TPU'"),
        ({"predictor": {"mode": "None", "timeoutSeconds": 0}}, "predictor.timeoutSeconds: must be a number"),
        (
            {"predictor": {"mode": "None", "history": {"minSimilarity": 1.5}}},
            "predictor.history.minSimilarity: must be a number of at least 0 and at most 1, not 1.5",
        ),
        ({"predictor": {"mode": "None", "history": {"size": 0}}}, "predictor.history.size: must be a whole"),
        ({"tokenizer": ""}, "tokenizer: must be the path of a file or folder, not ''"),
        ({"drain": {"maxSeconds": -1}}, "drain.maxSeconds: must be a number of at least 0, not -1"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path_and_what_is_allowed(settings, complaint):
    with pytest.raises(ConfigError) as caught:
        parse(**settings)
    assert str(caught.value).startswith(complaint)
    (path,) = caught.value.problems
    assert complaint.startswith(path)


def test_the_settings_of_the_faces_are_read():
    config = parse(
        listen={"connectionAgeSeconds": 0},
        profiles={"b": "vllm", "a": "none"},
        limits={
            "messageBytes": 1024,
            "headerBytes": 2048,
            "jsonDepth": 4,
            "queuedRequests": 1,
            "queuedBytes": 4096,
            "fullCode": "RESOURCE_EXHAUSTED",
            "unreadBytes": 8192,
            "slowReaderSeconds": 0.5,
            "idleStreamSeconds": 7,
        },
        attributes={"trustedNetworks": ["10.0.0.0/8", "::1", "127.0.0.1"], "exposePrediction": True},
        admin={"allow": ["trace", "logging", "trace"]},
        openai={"servedName": "n", "model": "m", "chatTemplate": "/t.jinja", "defaultMaxTokens": 9},
        recorder={"file": "/r.jsonl", "prompts": "Hash", "maxBytes": 1024, "files": 1},
        log={"level": "warning", "format": "JSON"},
    )
    assert config.listen.connection_age_s == 0.0
    assert config.profiles == (("a", "none"), ("b", "vllm"))
    assert config.limits == LimitsConfig(
        message_bytes=1024,
        header_bytes=2048,
        json_depth=4,
        queued_requests=1,
        queued_bytes=4096,
        full_code="RESOURCE_EXHAUSTED",
        unread_bytes=8192,
        slow_reader_s=0.5,
        idle_stream_s=7.0,
    )
    assert config.attributes == AttributesConfig(
        trusted_networks=("10.0.0.0/8", "::1/128", "127.0.0.1/32"), expose_prediction=True
    )
    assert config.admin.allow == ("trace", "logging")
    assert config.openai == OpenAIConfig(
        served_name="n", model="m", chat_template="/t.jinja", default_max_tokens=9
    )
    assert config.recorder == RecorderConfig(file="/r.jsonl", prompts="Hash", max_bytes=1024, files=1)
    assert config.log == LogConfig(level="warning", format="JSON")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"listen": {"connectionAgeSeconds": -1}},
            "listen.connectionAgeSeconds: must be a number of at least",
        ),
        ({"profiles": ["m"]}, "profiles: must be a mapping of settings, not ['m']"),
        ({"profiles": {"m": "trtllm"}}, "profiles.m: unknown profile 'trtllm', one of auto, inflight"),
        ({"profiles": {1: "none"}}, "profiles.1: must be a name, not 1"),
        ({"limits": {"messageBytes": 1023}}, "limits.messageBytes: must be a whole number of at least 1024"),
        ({"limits": {"headerBytes": 1}}, "limits.headerBytes: must be a whole number of at least 1024"),
        ({"limits": {"jsonDepth": 3}}, "limits.jsonDepth: must be a whole number of at least 4, not 3"),
        ({"limits": {"queuedRequests": 0}}, "limits.queuedRequests: must be a whole number of at least 1"),
        ({"limits": {"queuedBytes": "512M"}}, "limits.queuedBytes: must be a whole number"),
        ({"limits": {"fullCode": "OK"}}, "limits.fullCode: unknown code 'OK', one of UNAVAILABLE, RESOURCE"),
        ({"limits": {"unreadBytes": 0}}, "limits.unreadBytes: must be a whole number of at least 1024"),
        ({"limits": {"slowReaderSeconds": 0}}, "limits.slowReaderSeconds: must be a number above 0, not 0"),
        ({"limits": {"idleStreamSeconds": 0}}, "limits.idleStreamSeconds: must be a number above 0, not 0"),
        ({"attributes": {"trustedNetworks": "10.0.0.0/8"}}, "attributes.trustedNetworks: must be a list"),
        ({"attributes": {"trustedNetworks": ["10.0.0.1/8"]}}, "attributes.trustedNetworks: must be networks"),
        (
            {"attributes": {"trustedNetworks": ["home"]}},
            "attributes.trustedNetworks: must be networks such as",
        ),
        (
            {"attributes": {"exposePrediction": 1}},
            "attributes.exposePrediction: must be true or false, not 1",
        ),
        ({"admin": {"allow": ["all"]}}, "admin.allow: unknown group 'all', any of model-repository, shared"),
        ({"admin": {"allow": "trace"}}, "admin.allow: must be a list, not 'trace'"),
        ({"openai": {"servedName": ""}}, "openai.servedName: must be a name, not ''"),
        ({"openai": {"model": 5}}, "openai.model: must be a name, not 5"),
        ({"openai": {"chatTemplate": 5}}, "openai.chatTemplate: must be the path of a file or folder, not 5"),
        (
            {"openai": {"defaultMaxTokens": 0}},
            "openai.defaultMaxTokens: must be a whole number of at least 1",
        ),
        ({"recorder": {"file": ""}}, "recorder.file: must be the path of a file or folder, not ''"),
        (
            {"recorder": {"prompts": "Some"}},
            "recorder.prompts: unknown choice 'Some', one of Drop, Hash, Keep",
        ),
        ({"recorder": {"maxBytes": 1}}, "recorder.maxBytes: must be a whole number of at least 1024, not 1"),
        ({"recorder": {"files": 0}}, "recorder.files: must be a whole number of at least 1, not 0"),
        ({"log": {"level": "trace"}}, "log.level: unknown level 'trace', one of debug, info, warning, error"),
        ({"log": {"format": "json"}}, "log.format: unknown format 'json', one of Text, JSON"),
    ],
)
def test_a_wrong_setting_of_a_face_is_refused_with_its_path_and_what_is_allowed(settings, complaint):
    with pytest.raises(ConfigError) as caught:
        parse(**settings)
    assert str(caught.value).startswith(complaint)


def test_an_emptied_section_means_defaults():
    assert parse(engine=None, scheduling=None) == parse()


def test_policy_names_equal_the_registry():
    assert set(POLICIES) == set(registry.POLICIES)


def test_kv_policies_equal_those_of_the_core():
    assert set(KV_POLICIES) == {policy.value for policy in KvPolicy}


def test_only_the_standard_library_is_imported():
    """By whatever the two shared modules import, in a fresh interpreter: the operator has nothing else."""
    program = (
        "import sys; before = set(sys.modules); "
        "import sagesched_gateway.settings.config, sagesched_gateway.settings.reloadable; "
        "import sagesched_gateway.status; print(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in ran.stdout.split()} - {"sagesched_gateway"}
    assert imported <= sys.stdlib_module_names


addresses = st.builds("{}:{}".format, st.sampled_from(["h", "127.0.0.1", "[::1]"]), st.integers(1, 65535))
maybe_whole = st.one_of(st.just("auto"), st.integers(1, 10**6))
settings_mappings = st.fixed_dictionaries(
    {"predictor": st.fixed_dictionaries({"mode": st.just("None")}, optional={"encoder": st.just("/e")})},
    optional={
        "listen": st.fixed_dictionaries({}, optional={"grpc": addresses, "http": addresses}),
        "scheduling": st.fixed_dictionaries(
            {}, optional={"policy": st.sampled_from(POLICIES), "tailWeight": st.floats(0.1, 10.0)}
        ),
        "engine": st.fixed_dictionaries({}, optional={"slots": maybe_whole, "kvBlocks": maybe_whole}),
        "tokenizer": st.just("/t"),
        "profiles": st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(PROFILES)),
        "limits": st.fixed_dictionaries(
            {}, optional={"messageBytes": st.integers(1024, 10**9), "slowReaderSeconds": st.floats(0.1, 9.0)}
        ),
        "attributes": st.fixed_dictionaries(
            {}, optional={"trustedNetworks": st.lists(st.sampled_from(["10.0.0.0/8", "::/0"]))}
        ),
        "admin": st.fixed_dictionaries({"allow": st.lists(st.sampled_from(ADMIN_GROUPS))}),
        "openai": st.fixed_dictionaries({}, optional={"servedName": st.just("n")}),
        "recorder": st.fixed_dictionaries({}, optional={"prompts": st.sampled_from(PROMPT_RECORDS)}),
        "log": st.fixed_dictionaries({}, optional={"level": st.sampled_from(LOG_LEVELS)}),
    },
)


@settings(deadline=None)
@given(settings_mappings)
def test_written_settings_read_back_equal(written):
    config = parse_config(written)
    assert parse_config(to_mapping(config)) == config
    assert digest(parse_config(to_mapping(config))) == digest(config)


def test_digest_ignores_how_settings_are_written():
    assert digest(parse(drain={"maxSeconds": 300})) == digest(parse(engine={"slots": "auto"}))
    assert digest(parse(drain={"maxSeconds": 299})) != digest(parse())
    assert len(digest(parse())) == 64
