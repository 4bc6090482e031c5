"""Descriptions of models, requests to them and responses of theirs, for tests of profiles."""

from __future__ import annotations

import struct

from sagesched_gateway.kserve import (
    FINAL_PARAMETER,
    ModelConfigResponse,
    ModelInferResponse,
    ModelMetadataResponse,
)
from sagesched_gateway.triton.profiles.base import ModelDescription

COUNTED = {"return_num_input_tokens": "BOOL", "return_num_output_tokens": "BOOL"}
ENGINE = {
    "input_ids": "INT32",
    "input_lengths": "INT32",
    "request_output_len": "INT32",
    "streaming": "BOOL",
    "stop": "BOOL",
    "exclude_input_in_output": "BOOL",
    "end_id": "INT32",
    "runtime_top_k": "INT32",
    "runtime_top_p": "FP32",
    "stop_words_list": "INT32",
    **COUNTED,
}
BLS = {"text_input": "BYTES", "max_tokens": "INT32", "stream": "BOOL", **COUNTED}
LLMAPI = {
    "text_input": "BYTES",
    "streaming": "BOOL",
    "sampling_param_max_tokens": "INT32",
    "sampling_param_temperature": "FP32",
    "sampling_param_top_k": "INT32",
    "sampling_param_seed": "UINT64",
    "sampling_param_stop": "BYTES",
    "sampling_param_exclude_input_from_output": "BOOL",
    "return_finish_reason": "BOOL",
    "stop": "BOOL",
    "lora_path": "BYTES",
}
VLLM = {
    "text_input": "BYTES",
    "stream": "BOOL",
    "sampling_parameters": "BYTES",
    "exclude_input_in_output": "BOOL",
    "return_finish_reason": "BOOL",
    **COUNTED,
}
COUNT_OUTPUTS = ("num_input_tokens", "num_output_tokens")
OUTPUTS = ("text_output", "finish_reason", *COUNT_OUTPUTS)


def a_model(
    inputs, outputs=OUTPUTS, *, name="model", batch=0, platform="", decoupled=True, instances=1, **parameters
) -> ModelDescription:
    """What Triton tells of a model; keywords are parameters of its configuration."""
    metadata = ModelMetadataResponse(name=name)
    for tensor, datatype in inputs.items():
        metadata.inputs.add(name=tensor, datatype=datatype)
    for tensor in outputs:
        metadata.outputs.add(name=tensor)
    config = ModelConfigResponse()
    config.config.platform = platform
    config.config.max_batch_size = batch
    config.config.model_transaction_policy.decoupled = decoupled
    config.config.instance_group.add(count=instances)
    for parameter, value in parameters.items():
        config.config.parameters[parameter].string_value = value
    return ModelDescription.of(metadata, config)


def read(profile, message):
    """A request as dispatch gets it."""
    return profile.read(message, message.SerializeToString(), "up", ())


def tensors(message):
    """Name to (datatype, shape, values) of typed inputs."""
    found = {}
    for tensor in message.inputs:
        ((_, values),) = tensor.contents.ListFields()
        found[tensor.name] = (tensor.datatype, list(tensor.shape), list(values))
    return found


def a_response(text: bytes | None = None, *, final=False, reason=None, ids=None, kind="INT32", **counts):
    """A response; `counts` are integer outputs."""
    response = ModelInferResponse(model_name="model", id="up")
    response.parameters[FINAL_PARAMETER].bool_param = final
    for name, value in (("text_output", text), ("finish_reason", reason and reason.encode())):
        if value is not None:
            response.outputs.add(name=name, datatype="BYTES", shape=[1])
            response.raw_output_contents.append(struct.pack("<I", len(value)) + value)
    if ids is not None:
        response.outputs.add(name="output_ids", datatype="INT32", shape=[1, 1, len(ids)])
        response.raw_output_contents.append(struct.pack(f"<{len(ids)}i", *ids))
    for name, value in counts.items():
        response.outputs.add(name=name, datatype=kind, shape=[1])
        response.raw_output_contents.append(struct.pack("<i", value))
    return response
