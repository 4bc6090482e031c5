"""`spec.model`: what is served and where its files come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sagesched_operator.api.fields import DIGEST, IMAGE, NAME, RELATIVE_PATH, STORE, Rule, prop

GCS_KEY = "gcloud-application-credentials.json"
"""Key of a Secret under which a credentials file for `gs://` is looked for; KServe's name for it."""

OCI_MOUNTS = ("Copy", "ImageVolume")

_NO_CLIMBING = (Rule("!self.contains('..')", "must not contain '..': it is a path inside the model source"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PvcSource:
    """A volume that exists; mounted read-only."""

    claim_name: str = prop(
        "Name of a PersistentVolumeClaim in the pool's namespace.", pattern=NAME, max_length=253
    )
    path: str = prop(
        "Folder inside the volume; the root where it is not given.",
        default="",
        max_length=512,
        pattern=r"^([A-Za-z0-9_.][A-Za-z0-9_./-]*)?$",
        rules=_NO_CLIMBING,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OciSource:
    """An image of a container registry that holds the model's files."""

    image: str = prop(
        "The image; with `model.digest` it is pulled by that digest.", pattern=IMAGE, max_length=512
    )
    path: str = prop(
        "Absolute folder inside the image.",
        default="/models",
        pattern=r"^/[A-Za-z0-9_./-]*$",
        max_length=512,
        rules=_NO_CLIMBING,
    )
    mount: str = prop(
        "`Copy`: an init container of the image copies the files (the image needs `sh` and `cp`); "
        "`ImageVolume`: the image is mounted read-only, where Kubernetes has image volumes enabled.",
        default="Copy",
        enum=OCI_MOUNTS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UriSource:
    """A place on the net, fetched by an init container when a pod starts."""

    uri: str = prop(
        "Where from: `https://`, `s3://`, `gs://` or `hf://`.",
        max_length=2048,
        rules=(
            Rule(
                "self.matches('^(https|s3|gs|hf)://[A-Za-z0-9][^\\\\s]*$')",
                "must start with https://, s3://, gs:// or hf://",
            ),
        ),
    )
    secret_name: str | None = prop(
        "Secret with credentials, for the fetching container alone. Its keys become environment variables "
        "(`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, `HF_TOKEN`, `HOST-headers` with JSON); for "
        f"`gs://` it holds a file under the key `{GCS_KEY}`. Without one the pods' own identity is used.",
        default=None,
        pattern=NAME,
        max_length=253,
    )
    endpoint: str | None = prop(
        "Another store than the public one, with `s3://` (MinIO, Ceph) or `hf://` (a mirror): "
        "`https://minio.storage:9000`. Its port is opened to the pods.",
        default=None,
        pattern=STORE,
        max_length=253,
    )
    size_limit: str = prop(
        "Most that the fetched files may take on the node.",
        default="200Gi",
        pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti)$",
        max_length=16,
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.endpoint) || self.uri.startsWith('s3://') || self.uri.startsWith('hf://')",
            "endpoint goes with s3:// and hf:// only: remove it",
        ),
        Rule(
            "!has(self.endpoint) || self.endpoint.startsWith('https://') || !self.uri.startsWith('hf://')",
            "the endpoint of hf:// must be https://, or a token would be readable on its way",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPathSource:
    """A folder of the node; only where the operator was installed with it allowed."""

    path: str = prop(
        "Absolute folder on each node.",
        pattern=r"^/[A-Za-z0-9_./-]+$",
        max_length=512,
        rules=(Rule("!self.contains('..')", "must not contain '..'"),),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Where the model's files come from: exactly one of its fields."""

    pvc: PvcSource | None = prop("A volume claim.", default=None)
    oci: OciSource | None = prop("An image.", default=None)
    uri: UriSource | None = prop("A place on the net.", default=None)
    host_path: HostPathSource | None = prop(
        "A folder of the node; refused unless the operator allows it.", default=None
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.pvc), has(self.oci), has(self.uri), has(self.hostPath)]"
            ".filter(given, given).size() == 1",
            "give exactly one of pvc, oci, uri, hostPath",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """The served model."""

    name: str = prop(
        "Name by which OpenAI clients know the model; cannot be changed later.",
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$",
        max_length=128,
        rules=(Rule("self == oldSelf", "cannot be changed: make another pool for another model"),),
    )
    source: ModelSource = prop("Where the model's files come from.")
    repository: str = prop(
        "Folder of Triton's model repository inside the source; `.` is the source itself.",
        default=".",
        pattern=RELATIVE_PATH,
        max_length=512,
        rules=_NO_CLIMBING,
    )
    tokenizer: str | None = prop(
        "The served model's tokenizer inside the source: `tokenizer.json` or the folder that holds it. "
        "Without one the gateway estimates prompts' lengths, learning from the engine's counts.",
        default=None,
        pattern=RELATIVE_PATH,
        max_length=512,
        rules=_NO_CLIMBING,
    )
    digest: str | None = prop(
        "SHA-256 of the model. An image is pulled by it. Files of another source are checked against it "
        "before Triton starts: it is what `sagesched-gateway digest FOLDER` prints.",
        default=None,
        pattern=DIGEST,
        max_length=71,
    )
