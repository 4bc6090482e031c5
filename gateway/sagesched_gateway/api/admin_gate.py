"""`AdminGate`: Triton's management calls, refused unless their group is allowed.

Loading models, registering shared memory and changing trace or log settings reach into the server itself.
Whoever can send a prompt should not be able to do that, so both faces ask here first. Looking is free:
indexes, status of shared memory, and settings that are only read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from google.protobuf.message import DecodeError

from sagesched_gateway.errors import ForbiddenError
from sagesched_gateway.kserve import LogSettingsRequest, TraceSettingRequest
from sagesched_gateway.settings.sections.admin import AdminConfig

MODEL_REPOSITORY, SHARED_MEMORY, TRACE, LOGGING = "model-repository", "shared-memory", "trace", "logging"

GRPC_GROUPS = {
    "RepositoryModelLoad": MODEL_REPOSITORY,
    "RepositoryModelUnload": MODEL_REPOSITORY,
    "SystemSharedMemoryRegister": SHARED_MEMORY,
    "SystemSharedMemoryUnregister": SHARED_MEMORY,
    "CudaSharedMemoryRegister": SHARED_MEMORY,
    "CudaSharedMemoryUnregister": SHARED_MEMORY,
    "TraceSetting": TRACE,
    "LogSettings": LOGGING,
}
"""Group of each RPC that changes something; the last two read where the request has no settings."""

_READS_WITHOUT_SETTINGS: dict[str, Callable[[bytes], Any]] = {
    "TraceSetting": TraceSettingRequest.FromString,
    "LogSettings": LogSettingsRequest.FromString,
}


class AdminGate:
    """Says no to management calls.

    Attributes:
        allowed: groups that may pass; may be replaced at any time.
    """

    def __init__(self, config: AdminConfig) -> None:
        self.allowed = frozenset(config.allow)

    def check_grpc(self, method: str, body: bytes) -> None:
        """Let an RPC pass, by its name without service; raises ForbiddenError."""
        group = GRPC_GROUPS.get(method)
        if group is None or group in self.allowed:
            return
        if method in _READS_WITHOUT_SETTINGS and _only_reads(method, body):
            return
        raise _forbidden(method, group)

    def check_http(self, http_method: str, path: str) -> None:
        """Let a request pass, by method and path (encoded or not, without the query); raises ForbiddenError.

        The body does not matter: Triton reads settings by GET and takes every POST as a change.
        """
        group = http_group(http_method, path)
        if group is not None and group not in self.allowed:
            raise _forbidden(f"{http_method} {path}", group)


def http_group(http_method: str, path: str) -> str | None:
    """The group of a request to Triton's HTTP face; None where it manages nothing.

    Wider than Triton's own patterns rather than narrower: what only looks like such a path is refused too.
    """
    reads = http_method.upper() in ("GET", "HEAD")
    # Whether `..` is a step up or a name is for the server behind to say: either reading counts.
    parts = [part for part in unquote(path).split("/") if part not in ("", ".")]
    return _group_of(parts, reads) or _group_of(_resolved(parts), reads)


def _group_of(parts: list[str], reads: bool) -> str | None:
    match parts:
        case ["v2", "repository", *_, "load" | "unload"]:
            return MODEL_REPOSITORY
        case ["v2", "systemsharedmemory" | "cudasharedmemory", *_, "register" | "unregister"]:
            return SHARED_MEMORY
        case ["v2", "trace", "setting"] | ["v2", "models", *_, "trace", "setting"]:
            return None if reads else TRACE
        case ["v2", "logging"]:
            return None if reads else LOGGING
    return None


def _resolved(parts: list[str]) -> list[str]:
    resolved: list[str] = []
    for part in parts:
        if part == "..":
            del resolved[-1:]
        else:
            resolved.append(part)
    return resolved


def _only_reads(method: str, body: bytes) -> bool:
    try:
        return not _READS_WITHOUT_SETTINGS[method](body).settings
    except DecodeError:
        return False  # what cannot be read here might still be read there


def _forbidden(call: str, group: str) -> ForbiddenError:
    return ForbiddenError(f"{call} is not allowed through this gateway (group {group} of admin.allow)")
