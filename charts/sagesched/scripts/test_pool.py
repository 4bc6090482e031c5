"""`helm test`: does the operator take up a pool? The pool has no pods, so nothing is pulled or scheduled."""

import os
import sys
import time

from kubernetes import client, config

WAIT_S = float(os.environ.get("WAIT_S", "60"))
GROUP, VERSION, PLURAL = "serving.sagesched.io", "v1alpha1", "llmservingpools"


def main(namespace: str, name: str) -> int:
    """Make a pool, wait, remove it; returns the exit code."""
    config.load_config()
    pools = client.CustomObjectsApi()
    where = (GROUP, VERSION, namespace, PLURAL)
    spec = {
        "replicas": 0,
        "model": {"name": "none", "source": {"pvc": {"claimName": "none"}}},
        "runtime": {"image": "none"},
    }
    pool = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "LLMServingPool",
        "metadata": {"name": name},
        "spec": spec,
    }
    pools.create_namespaced_custom_object(*where, body=pool)
    try:
        deadline = time.monotonic() + WAIT_S
        while not pools.get_namespaced_custom_object(*where, name)["status"].get("conditions"):
            if time.monotonic() > deadline:
                print(f"the operator has not taken up {namespace}/{name} within {WAIT_S:.0f} s: see its log")
                return 1
            time.sleep(0.5)
        client.AppsV1Api().read_namespaced_deployment(name, namespace)
    finally:
        pools.delete_namespaced_custom_object(*where, name)
    print(f"the operator has taken up {namespace}/{name} and made its Deployment")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
