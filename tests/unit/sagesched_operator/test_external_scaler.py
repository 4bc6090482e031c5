"""KEDA's messages, byte for byte: field numbers and types are those of externalscaler.proto."""

from __future__ import annotations

from sagesched_operator.control import external_scaler as wire


def test_a_reference_as_keda_sends_it():
    # name=1 "so", namespace=2 "ns", scalerMetadata=3 {"pool": "llama"}
    text = b"\x0a\x02so\x12\x02ns\x1a\x0d\x0a\x04pool\x12\x05llama"
    reference = wire.ScaledObjectRef.FromString(text)
    assert (reference.name, reference.namespace) == ("so", "ns")
    assert dict(reference.scalerMetadata) == {"pool": "llama"}


def test_a_request_for_metrics_as_keda_sends_it():
    request = wire.GetMetricsRequest.FromString(b"\x0a\x04\x0a\x02so\x12\x01m")
    assert (request.scaledObjectRef.name, request.metricName) == ("so", "m")


def test_answers_as_keda_reads_them():
    assert wire.IsActiveResponse(result=True).SerializeToString() == b"\x08\x01"
    spec = wire.MetricSpec(metricName="m", targetSize=1000)
    assert (
        wire.GetMetricSpecResponse(metricSpecs=[spec]).SerializeToString() == b"\x0a\x06\x0a\x01m\x10\xe8\x07"
    )
    value = wire.MetricValue(metricName="m", metricValue=1500)
    answer = wire.GetMetricsResponse(metricValues=[value]).SerializeToString()
    assert answer == b"\x0a\x06\x0a\x01m\x10\xdc\x0b"
