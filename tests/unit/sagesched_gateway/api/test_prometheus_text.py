from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from sagesched_gateway.api.prometheus_text import join

OWN = """\
# HELP sagesched_gateway_queued_requests Waiting.
# TYPE sagesched_gateway_queued_requests gauge
sagesched_gateway_queued_requests 7.0
"""
TRITON = """\
# HELP nv_inference_count Number of inferences
# TYPE nv_inference_count counter
nv_inference_count{model="ens",version="1"} 7
# HELP nv_trt_llm_request_metrics TRT LLM request metrics
# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="context",version="1"} 1
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 2
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="active",version="1"} 3
"""


def samples_of(text: str) -> dict[str, float]:
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_triton_follows_with_the_queue_in_its_waiting_gauge():
    text = join(OWN, TRITON, queued=7)
    assert text == OWN + TRITON.replace('"waiting",version="1"} 2', '"waiting",version="1"} 9')


def test_without_triton_the_own_text_stays():
    assert join(OWN, "", queued=7) == OWN


def test_the_queue_is_counted_once():
    second = TRITON + 'nv_trt_llm_request_metrics{request_type="waiting",model="second"} 1\n'
    text = join(OWN, second, queued=7)
    assert 'version="1"} 9' in text
    assert '{request_type="waiting",model="second"} 1' in text


def test_other_families_and_label_values_keep_their_value():
    lines = [
        'nv_other{request_type="waiting"} 2',
        'nv_trt_llm_request_metrics{model="waiting",request_type="max"} 2',
        'nv_trt_llm_request_metrics{model="a,request_type=\\"waiting\\",",request_type="max"} 2',
    ]
    text = "\n".join(lines) + "\n"
    assert join("", text, queued=7).splitlines() == lines


def test_values_and_timestamps_are_kept():
    waiting = 'nv_trt_llm_request_metrics{request_type="waiting"}'
    assert join("", f"{waiting} 1.5e0 1700000000000\n", queued=1) == f"{waiting} 2.5 1700000000000\n"
    assert join("", f"{waiting} 2 \n", queued=1) == f"{waiting} 3\n"
    assert join("", f"{waiting} NaN\n", queued=1) == f"{waiting} nan\n"


def test_a_family_known_to_both_is_the_gateways():
    clash = "# TYPE sagesched_gateway_queued_requests gauge\nsagesched_gateway_queued_requests 99\n"
    assert join(OWN, clash, queued=7) == OWN


def test_a_family_in_two_places_becomes_one():
    twice = (
        "# HELP a First.\n# TYPE a counter\na 1\n# HELP b B.\n# TYPE b gauge\nb 2\n"
        '# HELP a Second.\n# TYPE a counter\na{x="1"} 3\n'
    )
    text = join("", twice, queued=0)
    assert text == '# HELP a First.\n# TYPE a counter\na 1\na{x="1"} 3\n# HELP b B.\n# TYPE b gauge\nb 2\n'


def test_histogram_samples_stay_with_their_family():
    histogram = (
        '# HELP h H.\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_count 1\nh_sum 2\n# a remark\n'
        "# HELP empty E.\n# TYPE empty gauge\n"
    )
    text = join(OWN, histogram, queued=0)
    assert text == OWN + '# HELP h H.\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_count 1\nh_sum 2\n'
    assert samples_of(text)["h_sum[]"] == 2
