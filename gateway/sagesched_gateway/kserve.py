"""The KServe v2 messages, imported from tritonclient in this one place.

Everything else in the gateway takes the classes from here, so that another source of the generated code (or
another protobuf major) is a change of one file.
"""

from __future__ import annotations

from tritonclient.grpc.service_pb2 import (
    InferParameter,
    LogSettingsRequest,
    ModelConfigRequest,
    ModelConfigResponse,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ModelStreamInferResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    ServerLiveRequest,
    ServerLiveResponse,
    ServerReadyRequest,
    ServerReadyResponse,
    TraceSettingRequest,
)

__all__ = [
    "EMPTY_FINAL_PARAMETER",
    "FINAL_PARAMETER",
    "MOST_VALUES",
    "SERVICE",
    "InferParameter",
    "LogSettingsRequest",
    "ModelConfigRequest",
    "ModelConfigResponse",
    "ModelInferRequest",
    "ModelInferResponse",
    "ModelMetadataRequest",
    "ModelMetadataResponse",
    "ModelReadyRequest",
    "ModelReadyResponse",
    "ModelStreamInferResponse",
    "RepositoryIndexRequest",
    "RepositoryIndexResponse",
    "ServerLiveRequest",
    "ServerLiveResponse",
    "ServerReadyRequest",
    "ServerReadyResponse",
    "TraceSettingRequest",
]

SERVICE = "inference.GRPCInferenceService"
"""Full name of the gRPC service; a method's path is `/SERVICE/METHOD`."""

FINAL_PARAMETER = "triton_final_response"
"""Response parameter (bool): True on the last response of a request."""

EMPTY_FINAL_PARAMETER = "triton_enable_empty_final_response"
"""Request parameter (bool): True asks for a final response even where it carries no outputs."""

MOST_VALUES = 2**20
"""Texts or numbers of one request that are looked at one by one; more would hold up all other callers."""
