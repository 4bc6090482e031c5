"""Management calls are refused by group; looking is free."""

from __future__ import annotations

import pytest

from sagesched_gateway.api.admin_gate import GRPC_GROUPS, AdminGate, http_group
from sagesched_gateway.errors import ForbiddenError
from sagesched_gateway.kserve import LogSettingsRequest, TraceSettingRequest
from sagesched_gateway.settings.sections.admin import ADMIN_GROUPS, AdminConfig


def changing(method: str) -> bytes:
    request = {"TraceSetting": TraceSettingRequest, "LogSettings": LogSettingsRequest}.get(method)
    if request is None:
        return b""
    message = request()
    message.settings["x"].SetInParent()
    return message.SerializeToString()


@pytest.mark.parametrize("method", GRPC_GROUPS)
def test_an_rpc_passes_only_with_its_group(method):
    group = GRPC_GROUPS[method]
    with pytest.raises(ForbiddenError, match=rf"{method}.*group {group} of admin\.allow"):
        AdminGate(AdminConfig()).check_grpc(method, changing(method))
    others = tuple(name for name in ADMIN_GROUPS if name != group)
    with pytest.raises(ForbiddenError):
        AdminGate(AdminConfig(allow=others)).check_grpc(method, changing(method))
    AdminGate(AdminConfig(allow=(group,))).check_grpc(method, changing(method))


@pytest.mark.parametrize("method", ["TraceSetting", "LogSettings"])
def test_settings_may_be_read(method):
    gate = AdminGate(AdminConfig())
    gate.check_grpc(method, b"")
    with pytest.raises(ForbiddenError):
        gate.check_grpc(method, b"\xff not a message")


@pytest.mark.parametrize("method", ["ModelInfer", "RepositoryIndex", "SystemSharedMemoryStatus", "Unheard"])
def test_other_rpcs_pass(method):
    AdminGate(AdminConfig()).check_grpc(method, b"")


@pytest.mark.parametrize(
    ("request_", "group"),
    [
        ("POST /v2/repository/models/m/load", "model-repository"),
        ("POST /v2/repository/shelf/models/m/unload", "model-repository"),
        ("POST /v2/repository/models/m/%6Coad", "model-repository"),
        ("POST /v2/health/../repository//models/m/load/", "model-repository"),
        ("POST /v2/repository/../models/m/load", "model-repository"),
        ("POST /v2/repository/index", None),
        ("POST /v2/systemsharedmemory/region/r/register", "shared-memory"),
        ("POST /v2/cudasharedmemory/unregister", "shared-memory"),
        ("GET /v2/cudasharedmemory/status", None),
        ("POST /v2/trace/setting", "trace"),
        ("post /v2/models/m/trace/setting", "trace"),
        ("GET /v2/trace/setting", None),
        ("POST /v2/logging", "logging"),
        ("GET /v2/logging", None),
        ("POST /v2/models/load/infer", None),
        ("POST /v1/chat/completions", None),
    ],
)
def test_http_paths_are_told_apart(request_, group):
    method, _, path = request_.partition(" ")
    assert http_group(method, path) == group
    gate = AdminGate(AdminConfig())
    if group is not None:
        with pytest.raises(ForbiddenError, match=group):
            gate.check_http(method, path)
        gate.allowed = frozenset((group,))
    gate.check_http(method, path)
