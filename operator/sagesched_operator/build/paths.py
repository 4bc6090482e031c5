"""Folders inside the pod, and the ports."""

SOURCE = "/source"
"""The model's files as they come."""

MODELS = "/models"
"""Triton's model repository: links into the source, and the configuration that was changed."""

PREDICTOR = "/predictor"
"""A predictor of the user's own."""

CREDENTIALS = "/credentials"
"""Of the container that fetches, where the store wants a file."""

HISTORY = "/history"
"""What the predictor has learned; outlives the gateway's container."""

SETTINGS = "/etc/sagesched"
SETTINGS_FILE = "gateway.yaml"
CERTIFICATES = "/etc/sagesched-tls"
"""The Secret of `gateway.tls`."""

RUN = "/run/sagesched"
DRAINED = f"{RUN}/drained"
"""Made by the gateway when all that it had is finished; Triton waits for it before it ends."""

GRPC, HTTP, METRICS = 8001, 8000, 8002
TRITON_GRPC, TRITON_HTTP, TRITON_METRICS = 18001, 18000, 18002
