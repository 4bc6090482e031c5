"""What the chart renders, and which values it refuses."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.control_plane import ControlPlane
from cluster.schemas import conform
from cluster.tools import Tools
from sagesched_operator.admission.refusals import refusals
from sagesched_operator.api.pool import parse_pool
from sagesched_operator.build.network_policy import network_policy
from sagesched_operator.build.surroundings import Installation
from sagesched_operator.cli import _parser

sys.path.insert(0, str(Path(__file__).parents[3] / "charts"))
sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "sagesched_operator"))
from dashboards import dashboards
from pool_cases import SMALLEST, a_pool, merged
from readme import readme
from render import manifests

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "sagesched"
Render = Callable[..., str]
Helm = Callable[..., Any]

ALL_ON = (
    *("--set", "monitoring.serviceMonitor.enabled=true"),
    *("--set", "monitoring.serviceMonitor.labels.release=prometheus"),
    *("--set", "monitoring.prometheusRule.enabled=true"),
    *("--set", "monitoring.dashboards.enabled=true"),
    *("--set", "networkPolicy.monitoringNamespace=monitoring"),
    *("--set", "networkPolicy.kedaNamespace=keda"),
    *("--set", "networkPolicy.apiServerCidr=10.0.0.1/32"),
    *("--set", "networkPolicy.apiServerPorts={16443}"),
    *("--set", "networkPolicy.dnsPorts={53,5353}"),
    *("--set", "pools.allowHostPath=true"),
    *("--set", "imagePullSecrets[0].name=registry"),
    *("--set", "priorityClassName=system-cluster-critical"),
    *("--set", "tolerations[0].operator=Exists"),
    *("--set", "nodeSelector.pool=system"),
    *("--set", "podLabels.team=ml"),
    *("--set", "podAnnotations.owner=ml"),
    *("--set", "serviceAccount.annotations.owner=ml"),
)

ALL_OFF = (
    *("--set", "replicas=1"),
    *("--set", "networkPolicy.enabled=false"),
    *("--set", "podDisruptionBudget.enabled=false"),
    *("--set", "crds.enabled=false"),
    *("--set", "rbac.create=false"),
    *("--set", "serviceAccount.create=false"),
    *("--set", "serviceAccount.name=mine"),
)

NAMESPACED = ("--set", "watchNamespaces={team-a,team-b}")

SETS = {"default": (), "all-on": ALL_ON, "all-off": ALL_OFF, "namespaced": NAMESPACED}


def objects(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(documents: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_lint_finds_nothing(helm: Helm, values: tuple[str, ...]) -> None:
    done = helm("lint", "--strict", str(CHART), *values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_two_renders_are_the_same_to_the_byte(render: Render, values: tuple[str, ...]) -> None:
    assert render(*values) == render(*values)


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_every_object_fits_the_servers_own_schema(
    chart_cluster: ControlPlane, schemas: Path, render: Render, values: tuple[str, ...]
) -> None:
    assert conform(chart_cluster, schemas, render(*values)) == []


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("replica=2", "at ''"),
        ("image.tga=1", "at '/image'"),
        ("image.digest=sha256:short", "at '/image/digest'"),
        ("replicas=0", "at '/replicas'"),
        ("pools.gatewayImage.digset=x", "at '/pools/gatewayImage'"),
        ("crds.enable=false", "at '/crds'"),
        ("rbac.clusterWide=true", "at '/rbac'"),
        ("log.level=verbose", "at '/log/level'"),
        ("monitoring.serviceMonitor.intervall=5s", "at '/monitoring/serviceMonitor'"),
        ("networkPolicy.apiServerCidr=everywhere", "at '/networkPolicy/apiServerCidr'"),
        ("networkPolicy.apiServerPorts={65536}", "at '/networkPolicy/apiServerPorts/0'"),
        ("watchNamespaces={Team_A}", "at '/watchNamespaces/0'"),
        ("fullnameOverride=9pools", "at '/fullnameOverride'"),  # a Service's name starts with a letter
    ],
)
def test_a_misspelt_or_impossible_value_is_refused_where_it_stands(
    helm: Helm, setting: str, place: str
) -> None:
    done = helm("template", "x", str(CHART), "--set", setting)
    assert done.returncode != 0
    assert place in done.stderr, done.stderr


def test_every_value_is_in_the_schema_and_every_value_of_the_schema_has_a_default(helm: Helm) -> None:
    def leaves(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> Iterator[str]:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
        fields = schema.get("properties")
        if not fields:
            yield path
            return
        for name, field in fields.items():
            yield from leaves(field, definitions, f"{path}.{name}")

    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for leaf in leaves(schema, schema["definitions"]):
        if leaf in (".global", ".enabled", ".resources.claims"):
            continue
        at: Any = values
        for name in leaf[1:].split("."):
            assert name in at, f"{leaf} has no default in values.yaml"
            at = at[name]


def test_another_chart_can_have_this_one_by_its_usual_condition(helm: Helm, tmp_path: Path) -> None:
    """Helm hands the condition's value on to the chart that it switches."""
    ours = {"name": "sagesched", "version": "0.1.0", "condition": "sagesched.enabled"}
    about = {"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [ours]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(about))
    shutil.copytree(CHART, tmp_path / "charts" / "sagesched")
    for is_on in (True, False):
        (tmp_path / "values.yaml").write_text(yaml.safe_dump({"sagesched": {"enabled": is_on}}))
        done = helm("template", "x", str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert bool(of_kind(objects(done.stdout), "Deployment")) == is_on


def test_names_stay_text_whatever_yaml_makes_of_them(helm: Helm) -> None:
    """A namespace may be called 2024, a release 1e3, and everything `on`."""
    names = ("fullnameOverride=on", "serviceAccount.name=null", "priorityClassName=true")
    names += ("networkPolicy.monitoringNamespace=0x1f", "networkPolicy.kedaNamespace=077")
    names += ("watchNamespaces={1000,off}",)
    settings = [part for name in names for part in ("--set-string", name)]
    monitored = ("--set", "monitoring.serviceMonitor.enabled=true")
    done = helm("template", "1e3", str(CHART), "-n", "2024", *settings, *monitored)
    assert done.returncode == 0, done.stderr

    def names_in(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            for item in value:
                yield from names_in(item)
        elif isinstance(value, dict):
            for key, item in value.items():
                if key in ("name", "namespace", "serviceAccountName", "priorityClassName", "matchNames"):
                    yield from item if isinstance(item, list) else [item]
                elif key in ("labels", "matchLabels", "resourceNames", "command", "args"):
                    yield from item.values() if isinstance(item, dict) else item
                yield from names_in(item) if key != "spec" or "versions" not in item else ()

    found = [name for one in objects(done.stdout) for name in names_in(one)]
    assert {"on", "1e3", "2024", "1000", "off", "null", "true", "0x1f", "077"} <= set(map(str, found))
    assert [name for name in found if not isinstance(name, str | dict)] == []


def test_the_pool_of_helms_test_has_a_name_that_pools_may_have(helm: Helm) -> None:
    done = helm("template", f"sagesched-{40 * 'x'}", str(CHART), "--show-only", "templates/tests/pool.yaml")
    [pod] = of_kind(objects(done.stdout), "Pod")
    *_, namespace, name = pod["spec"]["containers"][0]["command"]
    pool = merged(a_pool(SMALLEST), {"metadata": {"name": name, "namespace": namespace}})
    assert refusals(pool) == []


def test_the_pod_of_helms_test_can_be_scheduled_where_the_operators_can(render: Render) -> None:
    documents = objects(render(*ALL_ON, "--set", "resources.limits.cpu=1"))
    [pod], [operator] = of_kind(documents, "Pod"), of_kind(documents, "Deployment")
    ours, tests = operator["spec"]["template"]["spec"], pod["spec"]
    assert [tests[name] for name in ("nodeSelector", "tolerations")] == [
        {"pool": "system"},
        [{"operator": "Exists"}],
    ]
    assert tests["containers"][0]["resources"] == ours["containers"][0]["resources"]


def test_an_old_kubernetes_is_refused(helm: Helm) -> None:
    done = helm("template", "x", str(CHART), "--kube-version", "1.28.9")
    assert "requires kubeVersion: >=1.29" in done.stderr


def test_a_digest_wins_over_the_tag_for_every_image(render: Render) -> None:
    digest = "sha256:" + 64 * "a"
    names = ("image", "pools.gatewayImage", "pools.gatewayGpuImage", "pools.fetchImage")
    text = render(*(part for name in names for part in ("--set", f"{name}.digest={digest}")))
    [deployment] = of_kind(objects(text), "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"ghcr.io/sagesched/operator@{digest}"
    assert sum(argument.endswith(f"@{digest}") for argument in container["args"]) == 3


def test_the_operators_own_command_line_takes_every_argument(render: Render) -> None:
    for values in (ALL_ON, NAMESPACED):
        [deployment] = of_kind(objects(render(*values)), "Deployment")
        options = _parser().parse_args(deployment["spec"]["template"]["spec"]["containers"][0]["args"])
        assert options.scaler_address == "sagesched.sagesched-system.svc:9090"
    assert options.namespace == ["team-a", "team-b"]


def test_the_ways_out_are_those_of_the_cluster(render: Render) -> None:
    def ports(*values: str) -> list[list[tuple[str, int]]]:
        [policy] = of_kind(objects(render(*values)), "NetworkPolicy")
        return [
            [(one["protocol"], one["port"]) for one in rule["ports"]] for rule in policy["spec"]["egress"]
        ]

    names, _, api_server = ports()
    assert (names, api_server) == ([("UDP", 53), ("TCP", 53)], [("TCP", 443), ("TCP", 6443)])
    names, _, api_server = ports(*ALL_ON)
    assert names == [("UDP", 53), ("TCP", 53), ("UDP", 5353), ("TCP", 5353)]
    assert api_server == [("TCP", 16443)]
    [deployment] = of_kind(objects(render(*ALL_ON)), "Deployment")
    options = _parser().parse_args(deployment["spec"]["template"]["spec"]["containers"][0]["args"])
    pools = network_policy(parse_pool(a_pool(SMALLEST)), Installation(dns_ports=options.dns_ports))
    assert [(one["protocol"], one["port"]) for one in pools["spec"]["egress"][0]["ports"]] == names


def test_labels_that_pools_network_policies_let_in_are_those_of_the_operators_pods(render: Render) -> None:
    [deployment] = of_kind(objects(render()), "Deployment")
    template = deployment["spec"]["template"]
    [argument] = [each for each in template["spec"]["containers"][0]["args"] if "--operator-labels" in each]
    named = dict(pair.split("=") for pair in argument.split("=", 1)[1].split(","))
    assert named.items() <= template["metadata"]["labels"].items()


def test_pods_keep_the_restricted_level(render: Render) -> None:
    for document in objects(render()):
        spec = document["spec"]["template"]["spec"] if document["kind"] == "Deployment" else None
        spec = document["spec"] if document["kind"] == "Pod" else spec
        if spec is None:
            continue
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, True)


def test_namespaced_means_no_cluster_wide_right_for_the_operator(render: Render) -> None:
    documents = objects(render(*NAMESPACED))
    assert not of_kind(documents, "ClusterRoleBinding")
    assert {role["metadata"]["namespace"] for role in of_kind(documents, "Role")} >= {"team-a", "team-b"}
    for role in of_kind(documents, "ClusterRole"):
        assert any(
            label.startswith("rbac.authorization.k8s.io/aggregate-to-")
            for label in role["metadata"]["labels"]
        )


def test_no_role_has_a_star(render: Render) -> None:
    for document in objects(render()):
        for rule in document.get("rules", ()):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_what_is_off_is_not_rendered(render: Render) -> None:
    kinds = {document["kind"] for document in objects(render(*ALL_OFF, "--no-hooks"))}
    assert kinds == {"Deployment", "Service"}


def test_the_charts_crd_is_the_projects() -> None:
    ours = ROOT / "crds" / "llmservingpools.yaml"
    assert (CHART / "files" / ours.name).read_bytes() == ours.read_bytes(), "make manifests"


def test_the_crd_is_rendered_unchanged_but_for_its_keep_policy(render: Render) -> None:
    [rendered] = of_kind(objects(render()), "CustomResourceDefinition")
    ours = yaml.safe_load((ROOT / "crds" / "llmservingpools.yaml").read_text())
    assert rendered["spec"] == ours["spec"]
    assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    [unkept] = of_kind(objects(render("--set", "crds.keep=false")), "CustomResourceDefinition")
    assert "annotations" not in unkept["metadata"]


def test_every_value_that_the_templates_read_exists() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for template in CHART.rglob("templates/**/*"):
        if template.is_file():
            for path in re.findall(r"\.Values\.([A-Za-z.]+)", template.read_text()):
                at: Any = values
                for name in path.split("."):
                    assert name in at, f"{template.name}: .Values.{path}"
                    at = at[name]


def test_plain_manifests_are_the_charts(cluster_tools: Tools) -> None:
    for name, text in manifests(cluster_tools["helm"]).items():
        assert (ROOT / "charts" / "manifests" / name).read_text() == text, "make manifests"


def test_kustomize_builds_the_plain_manifests(chart_cluster: ControlPlane, schemas: Path) -> None:
    text = chart_cluster.kubectl("kustomize", str(ROOT / "charts" / "manifests"))
    assert conform(chart_cluster, schemas, text) == []
    assert {"Namespace", "CustomResourceDefinition", "Deployment"} <= {each["kind"] for each in objects(text)}


def test_cluster_wide_and_namespaced_rights_are_the_same(render: Render) -> None:
    def rules(values: tuple[str, ...], kind: str) -> list[Any]:
        roles = of_kind(objects(render(*values)), kind)
        return [role["rules"] for role in roles if role["metadata"]["name"] == "sagesched"]

    [everywhere] = rules((), "ClusterRole")
    assert rules(NAMESPACED, "Role") == [everywhere, everywhere]


def test_the_readme_tells_every_value() -> None:
    assert (CHART / "README.md").read_text() == readme(), "make manifests"
    text = (CHART / "values.yaml").read_text()
    keys = re.findall(r"^ *([A-Za-z]+): \S", text, re.MULTILINE)
    assert len(re.findall(r"^\| `[A-Za-z.]+` \| `", readme(), re.MULTILINE)) == len(keys) > 40


def test_dashboards_are_the_generated_ones() -> None:
    for name, text in dashboards().items():
        assert (CHART / "dashboards" / name).read_text() == text, "make manifests"
