"""Present resources as vAPI structures, which a dialect then encodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from keepalived.lease.model import Kind
from keepalived.simulator.clock import ServerClock
from keepalived.simulator.content import CHECKSUM_ALGORITHM
from keepalived.simulator.downloads import Downloads
from keepalived.simulator.errors import ApiError
from keepalived.simulator.logins import ServerLogin
from keepalived.simulator.resources import (
    DownloadFile,
    File,
    Item,
    Library,
    PrepareStatus,
    ServerSession,
    SessionState,
)
from keepalived.simulator.transfers import Transfers


class Struct(dict[str, Any]):
    """A vAPI structure without its absent fields.

    `name` is the canonical name, and `required` the fields that are not optional in the API's
    definition (by default all). JSON-RPC encodes both.
    """

    def __init__(
        self, name: str, fields: Mapping[str, Any], required: Iterable[str] | None = None
    ) -> None:
        super().__init__((key, value) for key, value in fields.items() if value is not None)
        self.name = name
        self.required = frozenset(fields if required is None else required)


# Reports no signature and no warnings. Some clients wait for these fields.
_NO_PREVIEW = Struct(
    "com.vmware.content.library.item.updatesession.preview_info", {"state": "NOT_APPLICABLE"}
)


def library_view(library: Library, clock: ServerClock) -> Struct:
    """Return a library as `get` shows it."""
    return Struct(
        "com.vmware.content.library_model",
        {
            "id": library.id,
            "name": library.name,
            "description": library.description,
            "type": "LOCAL",
            "creation_time": clock.timestamp(library.created_at),
        },
        required=(),
    )


def item_view(item: Item, clock: ServerClock) -> Struct:
    """Return a library item as `get` shows it."""
    return Struct(
        "com.vmware.content.library.item_model",
        {
            "id": item.id,
            "library_id": item.library_id,
            "name": item.name,
            "description": item.description,
            "type": item.type,
            "content_version": str(item.content_version),
            "cached": bool(item.files),
            "size": sum(content.size for content in item.files.values()),
            "creation_time": clock.timestamp(item.created_at),
        },
        required=(),
    )


def session_view(session: ServerSession, clock: ServerClock, skew: float) -> Struct:
    """Return a session as `get` shows it, its expiration `skew` seconds off."""
    is_uploading = session.kind is Kind.UPDATE and session.state is SessionState.ACTIVE
    return Struct(
        f"com.vmware.content.library.item.{session.kind}_session_model",
        {
            "id": session.id,
            "library_item_id": session.item_id,
            "library_item_content_version": str(session.content_version),
            "state": session.state.value,
            "client_progress": session.client_progress or 0,
            "expiration_time": clock.timestamp(session.announced_expiry, skew),
            "error_message": _message("client_error", session.error),
            "preview_info": _NO_PREVIEW if is_uploading else None,
        },
        required=(),
    )


def file_view(session_id: str, file: File, transfers: Transfers, base_url: str) -> Struct:
    """Return a file of an update session; its upload URL is below `base_url`."""
    progress = transfers.progress(session_id, file)
    is_ready = progress.status == "READY"
    return Struct(
        "com.vmware.content.library.item.updatesession.file.info",
        {
            "name": file.name,
            "source_type": file.source_type.value,
            "status": progress.status.value,
            "bytes_transferred": progress.bytes_transferred,
            "size": progress.bytes_transferred if is_ready else None,
            "upload_endpoint": _endpoint(_content_url(file, base_url)),
            "source_endpoint": _endpoint(file.source_uri),
            "error_message": _message("transfer_error", file.error),
        },
        required=("name", "source_type", "bytes_transferred", "status"),
    )


def download_file_view(file: DownloadFile, downloads: Downloads, base_url: str) -> Struct:
    """Return a file of a download session; its download URL is below `base_url`."""
    status = downloads.status(file)
    is_prepared = status is PrepareStatus.PREPARED
    content = file.content
    checksum = Struct(
        "com.vmware.content.library.item.file.checksum_info",
        {"algorithm": CHECKSUM_ALGORITHM, "checksum": content.checksum},
        required=("checksum",),
    )
    is_complete = is_prepared and file.bytes_transferred == content.size
    lost = "The simulator did not keep the content of this file."
    is_lost = status is PrepareStatus.ERROR
    return Struct(
        "com.vmware.content.library.item.downloadsession.file.info",
        {
            "name": file.name,
            "size": content.size,
            "bytes_transferred": file.bytes_transferred,
            "status": status.value,
            "download_endpoint": _endpoint(_content_url(file, base_url)) if is_prepared else None,
            "checksum_info": checksum if is_complete else None,
            "error_message": _message("transfer_error", lost if is_lost else None),
        },
        required=("name", "bytes_transferred", "status"),
    )


def _content_url(file: File | DownloadFile, base_url: str) -> str | None:
    return f"{base_url}/cls/data/{file.ticket}/{quote(file.name)}" if file.ticket else None


def validation_view(broken: Iterable[File]) -> Struct:
    """Return the report of a validation."""
    invalid_files = [
        Struct(
            "com.vmware.content.library.item.updatesession.file.validation_error",
            {"name": file.name, "error_message": _message("transfer_error", file.error)},
        )
        for file in broken
    ]
    return Struct(
        "com.vmware.content.library.item.updatesession.file.validation_result",
        {"has_errors": bool(invalid_files), "missing_files": [], "invalid_files": invalid_files},
    )


def login_view(login: ServerLogin, clock: ServerClock) -> Struct:
    """Return the caller's API session as `get` shows it."""
    return Struct(
        "com.vmware.cis.session.info",
        {
            "user": login.user.name,
            "created_time": clock.timestamp(login.created_at),
            "last_accessed_time": clock.timestamp(login.last_used_at),
        },
    )


def error_view(error: ApiError) -> Struct:
    """Return an error with its discriminator."""
    return Struct(
        error.type.canonical_name,
        {"error_type": error.type.value, "messages": [_message(error.message_id, error.message)]},
        required=("messages",),
    )


def _message(message_id: str, text: str | None) -> Struct | None:
    if text is None:
        return None
    return Struct(
        "com.vmware.vapi.std.localizable_message",
        {"id": message_id, "default_message": text, "args": []},
    )


def _endpoint(uri: str | None) -> Struct | None:
    name = "com.vmware.content.library.item.transfer_endpoint"
    return None if uri is None else Struct(name, {"uri": uri})
