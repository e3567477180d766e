"""Creates and deletes libraries, items and update sessions, and uploads content, for `probe`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import SplitResult, urlsplit

from keepalived.lease.answers import Answer, Outcome
from keepalived.settings import VCenterSettings
from keepalived.settings.values import PORTS
from keepalived.vcenter import parsing
from keepalived.vcenter.classify import describe_error, outcome_of, read_refusal
from keepalived.vcenter.client import RESOURCE_ID, Client, Success, at_once, ids, nothing
from keepalived.vcenter.dialects import Resource, Spec
from keepalived.vcenter.exchange import TOKEN_HEADER
from keepalived.vcenter.hiding import Secrets
from keepalived.vcenter.proxies import http_parts
from keepalived.vcenter.transport import TransportError, UploadTransport


class LibraryAdmin:
    """Operations other than reading and renewing, with the login and connections of a client.

    Operations return an Answer, and do not raise for failures of the network or the server.
    `timeout`, in seconds, limits each request, except for uploads.
    """

    def __init__(
        self, client: Client, transport: UploadTransport, settings: VCenterSettings, timeout: float
    ) -> None:
        self._client = client
        self._transport = transport
        self._timeout = timeout
        self._origin = _origin(urlsplit(settings.url))

    async def find_libraries(self, name: str) -> Answer[tuple[str, ...]]:
        """List the ids of the libraries with this name."""
        return await self._client.query(lambda d: d.find_libraries(name), _ids, self._timeout)

    async def describe_library(self, library_id: str) -> Answer[str]:
        """Read the description of a library."""
        return await self._client.query(
            lambda d: d.library(library_id), _description, self._timeout
        )

    async def find_items(self, library_id: str, name: str | None = None) -> Answer[tuple[str, ...]]:
        """List the ids of a library's items, all of them or those with this name."""
        spec = {"library_id": library_id, **({} if name is None else {"name": name})}
        return await self._client.query(lambda d: d.find_items(spec), _ids, self._timeout)

    async def sessions_of(self, item_id: str) -> Answer[tuple[str, ...]]:
        """List the ids of the calling user's update sessions of an item.

        Some servers ignore the item, so check which item each session belongs to.
        """
        return await self._client.query(lambda d: d.sessions_of(item_id), ids, self._timeout)

    async def create_library(self, name: str, description: str, datastore_id: str) -> Answer[str]:
        """Create a local library on a datastore. Returns its id."""
        backing = {"type": "DATASTORE", "datastore_id": datastore_id}
        spec = {"name": name, "description": description, "type": "LOCAL"}
        return await self._create(Resource.LOCAL_LIBRARY, {**spec, "storage_backings": [backing]})

    async def create_item(self, library_id: str, name: str, description: str) -> Answer[str]:
        """Create an empty item without a type. Returns its id."""
        spec = {"library_id": library_id, "name": name, "description": description}
        return await self._create(Resource.ITEM, spec)

    async def create_session(self, item_id: str) -> Answer[str]:
        """Open an update session on an item. Returns its id."""
        return await self._create(Resource.UPDATE_SESSION, {"library_item_id": item_id})

    async def delete(self, resource: Resource, resource_id: str) -> Answer[None]:
        """Delete a resource. An update session has to be cancelled first."""
        session_id = resource_id if resource is Resource.UPDATE_SESSION else None
        return await self._client.query(
            lambda d: d.delete(resource, resource_id), nothing, self._timeout, session_id=session_id
        )

    async def add_file(self, session_id: str, name: str, size: int) -> Answer[str]:
        """Add a file that will be pushed. Returns the URI to send its content to."""
        spec = {"name": name, "source_type": "PUSH", "size": size}
        return await self._client.query(
            lambda d: d.add_file(session_id, spec),
            _upload_uri,
            self._timeout,
            session_id=session_id,
        )

    async def put(self, uri: str, content: AsyncIterator[bytes], size: int) -> Answer[None]:
        """Send the content of a file, without a time limit.

        The token is sent only if the URI is on the vCenter itself.
        """
        began = self._client.now()
        parts = http_parts(uri)
        if parts is None:
            return Answer(
                Outcome.FAILED, began, began, detail="the upload address is not a valid URL"
            )
        token = await self._client.token(timeout=self._timeout)
        is_own = token is not None and _origin(parts) == self._origin
        headers = {TOKEN_HEADER: token.value} if token is not None and is_own else {}
        try:
            reply = await self._transport.put(uri, headers, content, size)
        except TransportError as error:
            now = self._client.now()
            return Answer(Outcome.UNREACHABLE, began, now, detail=str(error))
        answer: Answer[None] = Answer(
            outcome_of(reply), began, self._client.now(), status=reply.status
        )
        if answer.outcome is Outcome.OK:
            return answer
        secrets = Secrets(() if token is None else (token.value,))
        return answer._replace(
            detail=describe_error(reply, secrets), error_type=read_refusal(reply.body, secrets).type
        )

    async def _create(self, resource: Resource, spec: Spec) -> Answer[str]:
        return await self._client.query(lambda d: d.create(resource, spec), _id, self._timeout)


_description = at_once(lambda success: parsing.text_of(success.value(), "description") or "")
_upload_uri = at_once(lambda success: parsing.upload_uri(success.value()))
_id = at_once(lambda success: _checked(parsing.new_id(success.value())))


async def _ids(success: Success) -> tuple[str, ...]:
    return tuple(map(_checked, await ids(success)))


def _checked(text: str) -> str:
    """Return an id that can be part of a path. Raises ValueError for others."""
    if not RESOURCE_ID.fullmatch(text):
        raise ValueError(f"{text!r} is not a valid id")
    return text


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)
