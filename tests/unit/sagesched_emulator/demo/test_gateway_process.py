"""The gateway of a run: its configuration, and what is said when it does not start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sagesched_emulator.demo import gateway_process
from sagesched_emulator.demo.errors import StartError
from sagesched_emulator.demo.gateway_process import (
    GatewayProcess,
    Prediction,
    TritonAddresses,
    gateway_config,
    predictor_ready,
)
from sagesched_gateway.settings.config import parse_config

TRITON = TritonAddresses(grpc="127.0.0.1:1", http="127.0.0.1:2", metrics="127.0.0.1:3")


def test_the_configuration_is_one_that_the_gateway_takes() -> None:
    config = parse_config(
        gateway_config(TRITON, "ssjf", Prediction(encoder=Path("/enc"), history=Path("/warm.npz")))
    )
    assert (config.triton.grpc, config.scheduling.policy) == ("127.0.0.1:1", "ssjf")
    assert config.listen.grpc == "127.0.0.1:0"
    assert (config.predictor.encoder, config.predictor.history.file) == ("/enc", "/warm.npz")
    assert config.predictor.mode == "Shipped"


def test_an_empty_predictor_and_none_at_all() -> None:
    empty = parse_config(gateway_config(TRITON, "fcfs", Prediction(encoder=Path("/enc"))))
    assert empty.predictor.history.file is None
    assert parse_config(gateway_config(TRITON, "fcfs", Prediction(enabled=False))).predictor.mode == "None"


@pytest.mark.parametrize(
    ("state", "ready"), [("ready", True), ("off", True), ("starting", False), ("restarting", False)]
)
def test_a_gateway_is_ready_when_its_predictor_is(state: str, ready: bool) -> None:
    assert predictor_ready({"predictor": {"state": state}}) is ready


def test_a_gateway_that_dies_at_its_start_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "sagesched-gateway"
    command.write_text("#!/bin/sh\necho 'scheduling.policy: unknown policy' >&2\nexit 2\n")
    command.chmod(0o755)
    monkeypatch.setattr(gateway_process.sys, "executable", str(tmp_path / Path(sys.executable).name))
    with (
        pytest.raises(StartError, match=r"did not start: scheduling\.policy: unknown policy"),
        GatewayProcess({}, tmp_path, "x"),
    ):
        pass


def test_an_address_to_listen_on_becomes_one_to_dial() -> None:
    assert gateway_process._dialable("0.0.0.0:80") == "127.0.0.1:80"
    assert gateway_process._dialable("10.0.0.1:80") == "10.0.0.1:80"
