"""Messages of KEDA's external scaler protocol (`externalscaler.proto`, package `externalscaler`).

Described here field by field, as the wire has them, so that no generated code has to be kept.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "externalscaler.ExternalScaler"

_FIELD = descriptor_pb2.FieldDescriptorProto
_STRING, _INT64, _DOUBLE = _FIELD.TYPE_STRING, _FIELD.TYPE_INT64, _FIELD.TYPE_DOUBLE
_BOOL, _MESSAGE = _FIELD.TYPE_BOOL, _FIELD.TYPE_MESSAGE

_Field = tuple[str, int, int, bool, str]  # name, number, type, repeated, type of message

_MESSAGES: dict[str, list[_Field]] = {
    "ScaledObjectRef": [
        ("name", 1, _STRING, False, ""),
        ("namespace", 2, _STRING, False, ""),
        ("scalerMetadata", 3, _MESSAGE, True, "ScaledObjectRef.ScalerMetadataEntry"),
    ],
    "IsActiveResponse": [("result", 1, _BOOL, False, "")],
    "GetMetricSpecResponse": [("metricSpecs", 1, _MESSAGE, True, "MetricSpec")],
    "MetricSpec": [
        ("metricName", 1, _STRING, False, ""),
        ("targetSize", 2, _INT64, False, ""),
        ("targetSizeFloat", 3, _DOUBLE, False, ""),
    ],
    "GetMetricsRequest": [
        ("scaledObjectRef", 1, _MESSAGE, False, "ScaledObjectRef"),
        ("metricName", 2, _STRING, False, ""),
    ],
    "GetMetricsResponse": [("metricValues", 1, _MESSAGE, True, "MetricValue")],
    "MetricValue": [
        ("metricName", 1, _STRING, False, ""),
        ("metricValue", 2, _INT64, False, ""),
        ("metricValueFloat", 3, _DOUBLE, False, ""),
    ],
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="sagesched/externalscaler.proto", package="externalscaler", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields:
            _add(message, *field)
    entry = file.message_type[0].nested_type.add(name="ScalerMetadataEntry")
    entry.options.map_entry = True
    _add(entry, "key", 1, _STRING, False, "")
    _add(entry, "value", 2, _STRING, False, "")
    return file


def _add(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, type_: Any, repeated: bool, of: str
) -> None:
    field = message.field.add(name=name, number=number, type=type_)
    field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    if of:
        field.type_name = f".externalscaler.{of}"


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())  # type: ignore[no-untyped-call]  # no stubs


def _class(name: str) -> Any:
    found = _POOL.FindMessageTypeByName(f"externalscaler.{name}")  # type: ignore[no-untyped-call]  # no stubs
    return message_factory.GetMessageClass(found)


ScaledObjectRef = _class("ScaledObjectRef")
IsActiveResponse = _class("IsActiveResponse")
GetMetricSpecResponse = _class("GetMetricSpecResponse")
MetricSpec = _class("MetricSpec")
GetMetricsRequest = _class("GetMetricsRequest")
GetMetricsResponse = _class("GetMetricsResponse")
MetricValue = _class("MetricValue")
