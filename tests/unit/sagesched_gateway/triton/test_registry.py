"""Each kind of model gets its profile by its tensors, or by the settings."""

from __future__ import annotations

import logging

import pytest
from profile_builders import BLS, ENGINE, LLMAPI, VLLM, a_model, a_response

from sagesched_gateway.triton.profiles.inflight_batcher import BlsProfile, TextProfile, TokenProfile
from sagesched_gateway.triton.profiles.llmapi import LlmApiProfile
from sagesched_gateway.triton.profiles.registry import ProfileChoice, choose_profile
from sagesched_gateway.triton.profiles.vllm import VllmProfile

MODELS = {
    TextProfile: a_model(BLS, platform="ensemble", batch=8),
    BlsProfile: a_model(BLS, batch=8, accumulate_tokens="true"),
    TokenProfile: a_model(ENGINE, batch=8),
    LlmApiProfile: a_model(LLMAPI),
    VllmProfile: a_model(VLLM),
}
OTHERS = [a_model(BLS), a_model({"text_input": "BYTES"}), a_model({}, ())]


def chosen(model, wanted="auto"):
    return choose_profile(model, "engine", ProfileChoice(overrides={"model": wanted}))


@pytest.mark.parametrize("profile", MODELS, ids=lambda profile: profile.__name__)
def test_tensors_tell_the_kind(profile):
    assert type(chosen(MODELS[profile])) is profile


@pytest.mark.parametrize("model", OTHERS, ids=["text-python", "text-only", "nothing"])
def test_other_models_pass_through(model):
    assert chosen(model) is None


def test_the_settings_overrule_it():
    assert chosen(MODELS[VllmProfile], "none") is None
    assert type(chosen(OTHERS[0], "inflight-batcher")) is BlsProfile
    assert type(chosen(MODELS[TokenProfile], "inflight-batcher")) is TokenProfile
    assert type(chosen(MODELS[LlmApiProfile], "auto")) is LlmApiProfile


def test_a_profile_whose_tensors_are_missing_is_refused_by_name(caplog):
    with caplog.at_level(logging.WARNING):
        assert chosen(MODELS[VllmProfile], "llmapi") is None
    assert "profiles.model: llmapi needs inputs that the model does not have" in caplog.text
    assert "sampling_param_max_tokens" in caplog.text


def test_nothing_cancels_a_bls_request():
    assert not chosen(MODELS[BlsProfile]).cancelling.is_possible
    assert chosen(MODELS[TextProfile]).cancelling.stop_model == "engine"


@pytest.mark.parametrize(
    ("value", "expected"), [("True", ["a", "b"]), ("false", ["a", "ab"]), ("${x}", ["a", "ab"])]
)
def test_the_model_says_whether_its_text_accumulates(value, expected):
    reader = chosen(a_model(BLS, batch=8, accumulate_tokens=value)).text_reader()
    assert [reader.read(a_response(text)).text for text in (b"a", b"ab")] == expected


def test_instances_are_counted():
    assert a_model(BLS, instances=4).num_instances == 4
