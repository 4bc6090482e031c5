"""`Api`: plain requests through the official client's asynchronous transport.

Objects are mappings as the server gives them: models of the client would cost memory for each of thousands of
objects, and know nothing of our own kind.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import ApiClient, Configuration

from sagesched_operator.cluster.errors import ApiError
from sagesched_operator.cluster.kinds import Kind
from sagesched_operator.names import FIELD_MANAGER

_TIMEOUT_S = 30.0
_QUIET_WATCH_S = 120.0
"""A watch brings a bookmark about once a minute; one that is silent for longer is a dead connection."""

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

_Body = Mapping[str, Any]


class Api:
    """Requests to the API server; each raises `ApiError` where it fails."""

    def __init__(self, client: ApiClient, on_request: Callable[[str, str, int], None]) -> None:
        """Take a connected client.

        Args:
            client: of the official library.
            on_request: hears of each request: verb, kind, HTTP status (0 without an answer).
        """
        self._client = client
        self._on_request = on_request

    @classmethod
    async def connect(cls, kubeconfig: Path | None, on_request: Callable[[str, str, int], None]) -> Self:
        """By a kubeconfig, or, without one, as the pod that we run in."""
        configuration = Configuration()
        configuration.connection_pool_maxsize = 0  # a watch keeps its own: a dozen for each namespace
        if kubeconfig is None:
            kubernetes_config.load_incluster_config(client_configuration=configuration)
        else:
            await kubernetes_config.load_kube_config(
                config_file=str(kubeconfig), client_configuration=configuration
            )
        return cls(ApiClient(configuration), on_request)

    async def close(self) -> None:
        """End all connections."""
        await self._client.close()

    async def get(self, path: str) -> dict[str, Any]:
        """Read one path."""
        return await self._json("GET", path, "get", path)

    async def read(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """Read one object."""
        return await self._json("GET", kind.path(namespace, name), "get", kind.name)

    async def find(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, or None; asked as a list, so that whoever may list needs no other permission."""
        query = {"fieldSelector": f"metadata.name={name}"}
        found = await self._json("GET", kind.path(namespace), "list", kind.name, query=query)
        if not found["items"]:
            return None
        return {"apiVersion": kind.api_version, "kind": kind.name, **found["items"][0]}

    async def pages(
        self, kind: Kind, namespace: str | None, selector: str, *, limit: int = 100
    ) -> AsyncIterator[dict[str, Any]]:
        """All objects with the labels, as lists of some; each says the resource version to watch from.

        Objects may have a megabyte each, and whoever may label one in a namespace of pools is listed too.
        """
        query: dict[str, Any] = {"labelSelector": selector, "limit": limit}
        while True:
            page = await self._json("GET", kind.path(namespace), "list", kind.name, query=query)
            yield page
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return

    async def watch(
        self, kind: Kind, namespace: str | None, selector: str, version: str, *, lasting_s: int
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Events (type, object) from a resource version on, until the server ends it."""
        query = {
            "labelSelector": selector,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": lasting_s,
        }
        timeout = aiohttp.ClientTimeout(total=lasting_s + 30, sock_connect=10, sock_read=_QUIET_WATCH_S)
        response = await self._send(
            "GET", kind.path(namespace), "watch", kind.name, query=query, limits=timeout
        )
        try:
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _error_of(event["object"].get("code", 500), event["object"], None)
                yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ApiError(0, "Unreachable", f"watch ended: {str(error) or type(error).__name__}") from error
        finally:
            response.close()

    async def create(self, kind: Kind, namespace: str, body: _Body) -> dict[str, Any]:
        """Make an object that must not exist."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._json("POST", kind.path(namespace), "create", kind.name, query=query, body=body)

    async def replace(self, kind: Kind, namespace: str, name: str, body: _Body) -> dict[str, Any]:
        """Replace an object of the version that the body names."""
        return await self._json("PUT", kind.path(namespace, name), "update", kind.name, body=body)

    async def apply(self, kind: Kind, body: _Body, *, force: bool, subresource: str = "") -> dict[str, Any]:
        """Server-side apply; `force` takes fields that other managers own."""
        path = kind.path(body["metadata"]["namespace"], body["metadata"]["name"], subresource)
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower()}
        return await self._json("PATCH", path, "patch", kind.name, query=query, body=body, content=APPLY)

    async def merge(self, kind: Kind, namespace: str, name: str, body: _Body) -> dict[str, Any]:
        """Change the given fields of an object that exists."""
        query = {"fieldManager": FIELD_MANAGER}
        path = kind.path(namespace, name)
        return await self._json("PATCH", path, "patch", kind.name, query=query, body=body, content=MERGE)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete the object of that uid; one that is gone already is fine."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._json("DELETE", kind.path(namespace, name), "delete", kind.name, body=body)
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    async def _json(
        self,
        method: str,
        path: str,
        verb: str,
        kind: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: _Body | None = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        response = await self._send(method, path, verb, kind, query=query, body=body, content=content)
        try:
            result: dict[str, Any] = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: answer torn: {error}") from error
        return result

    async def _send(
        self,
        method: str,
        path: str,
        verb: str,
        kind: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: _Body | None = None,
        content: str = "application/json",
        limits: aiohttp.ClientTimeout | None = None,
    ) -> aiohttp.ClientResponse:
        client = self._client
        url = client.configuration.host + path + ("?" + urlencode(query) if query else "")
        headers = {"Accept": "application/json", "Content-Type": content, "User-Agent": FIELD_MANAGER}
        await client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        code = 0
        try:
            answer = await client.rest_client.request(
                method,
                url,
                headers=headers,
                body=None if body is None else dict(body),
                _request_timeout=limits or aiohttp.ClientTimeout(total=_TIMEOUT_S),
            )
            response: aiohttp.ClientResponse = answer.response
            code = response.status
            if code >= 400:
                raise _error_of(code, await _status_of(response), response.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(
                0, "Unreachable", f"{method} {path}: {str(error) or type(error).__name__}"
            ) from error
        finally:
            self._on_request(verb, kind, code)
        return response


async def _status_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    text = await response.text()
    try:
        status: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"reason": response.reason or "", "message": text[:200]}
    return status


def _error_of(code: int, status: Mapping[str, Any], retry_after: str | None) -> ApiError:
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    return ApiError(code, str(status.get("reason", "")), str(status.get("message", "")), seconds)
