"""The operations of the API, independent of the dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeVar

from keepalived.lease.model import Kind
from keepalived.simulator.errors import ApiError, ErrorType, invalid
from keepalived.simulator.logins import ServerLogin, basic_credentials
from keepalived.simulator.resources import SourceType
from keepalived.simulator.views import (
    download_file_view,
    file_view,
    item_view,
    library_view,
    login_view,
    session_view,
    validation_view,
)

if TYPE_CHECKING:
    from keepalived.simulator.app import Simulator


@dataclass(slots=True)
class OperationCall:
    """A call of an operation.

    `args` are the parameters of path, query and body, by their names in the API. `token` and
    `login` are the caller's; `login` is None only where an operation needs none.
    """

    args: Mapping[str, Any]
    token: str = ""
    authorization: str = ""
    login: ServerLogin | None = None
    base_url: str = ""
    expiry_skew: float = 0.0

    @property
    def caller(self) -> ServerLogin:
        """The caller's login. Raises ApiError (UNAUTHENTICATED) if there is none."""
        if self.login is None:
            raise ApiError(ErrorType.UNAUTHENTICATED, "Authentication required.")
        return self.login

    def text(self, name: str) -> str:
        """Return a required string parameter. Raises ApiError if it is missing or no string."""
        value = self.args.get(name)
        if not isinstance(value, str):
            raise invalid(f"{name} is missing, or not a string.")
        return value

    def text_or_none(self, name: str) -> str | None:
        """Return an optional string parameter. Raises ApiError if it is no string."""
        return None if self.args.get(name) is None else self.text(name)

    def number_or_none(self, name: str) -> int | None:
        """Return an optional integer parameter. Raises ApiError if it is no integer."""
        value = self.args.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid(f"{name} is not an integer.")
        return value


class Gives(Enum):
    """The kind of result of a successful operation."""

    NOTHING = auto()
    VALUE = auto()
    NEW = auto()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    `wrapper` is the parameter that the `api` dialect sends as the whole body. `privilege` is the
    privilege that a read-only user lacks.
    """

    name: str
    run: Callable[[Simulator, OperationCall], Any]
    gives: Gives = Gives.VALUE
    kind: Kind | None = None
    wrapper: str | None = None
    privilege: str | None = None
    needs_login: bool = True

    @property
    def session_parameter(self) -> str:
        """The name of the parameter that holds the session's id."""
        return f"{self.kind}_session_id"


OPERATIONS: dict[str, Operation] = {}
"""All operations by name, except the transfers of content."""

_Run = TypeVar("_Run", bound="Callable[[Simulator, OperationCall], Any]")


def _operation(
    name: str,
    gives: Gives = Gives.VALUE,
    wrapper: str | None = None,
    privilege: str | None = None,
    *,
    needs_login: bool = True,
) -> Callable[[_Run], _Run]:
    """Register a function as an operation. Privileges are those of `ContentLibrary`."""
    kind = next((each for each in Kind if name.startswith(f"{each}_session")), None)
    privilege = privilege and f"ContentLibrary.{privilege}"

    def register(run: _Run) -> _Run:
        OPERATIONS[name] = Operation(name, run, gives, kind, wrapper, privilege, needs_login)
        return run

    return register


@_operation("session.create", Gives.NEW, needs_login=False)
def _log_in(server: Simulator, call: OperationCall) -> str:
    return server.logins.log_in(*basic_credentials(call.authorization))


@_operation("session.get")
def _who_am_i(server: Simulator, call: OperationCall) -> Any:
    return login_view(call.caller, server.clock)


@_operation("session.delete", Gives.NOTHING)
def _log_out(server: Simulator, call: OperationCall) -> None:
    server.logins.log_out(call.token)


@_operation("local_library.create", Gives.NEW, "create_spec", "CreateLocalLibrary")
def _create_library(server: Simulator, call: OperationCall) -> str:
    description = call.text_or_none("description") or ""
    return server.library.catalog.create_library(call.text("name"), description).id


@_operation("local_library.list")
@_operation("library.list")
def _list_libraries(server: Simulator, call: OperationCall) -> list[str]:
    return [library.id for library in server.library.catalog.libraries()]


@_operation("library.find", wrapper="spec")
def _find_libraries(server: Simulator, call: OperationCall) -> list[str]:
    name, wanted_type = call.text_or_none("name"), call.text_or_none("type")
    if name is None and wanted_type is None:
        raise invalid("The specification names no property to search by.")
    if wanted_type not in (None, "LOCAL"):
        return []
    return [library.id for library in server.library.catalog.libraries(name)]


@_operation("local_library.get")
@_operation("library.get")
def _get_library(server: Simulator, call: OperationCall) -> Any:
    return library_view(server.library.catalog.library(call.text("library_id")), server.clock)


@_operation("local_library.delete", Gives.NOTHING, privilege="DeleteLocalLibrary")
def _delete_library(server: Simulator, call: OperationCall) -> None:
    server.library.delete_library(call.text("library_id"))


@_operation("item.create", Gives.NEW, "create_spec", "AddLibraryItem")
def _create_item(server: Simulator, call: OperationCall) -> str:
    item = server.library.catalog.create_item(
        call.text("library_id"),
        call.text("name"),
        call.text_or_none("type") or "",
        call.text_or_none("description") or "",
    )
    return item.id


@_operation("item.list")
def _list_items(server: Simulator, call: OperationCall) -> list[str]:
    library = server.library.catalog.library(call.text("library_id"))
    return [item.id for item in server.library.catalog.items(library.id)]


@_operation("item.find", wrapper="spec")
def _find_items(server: Simulator, call: OperationCall) -> list[str]:
    name, library_id = call.text_or_none("name"), call.text_or_none("library_id")
    if name is None and library_id is None:
        raise invalid("The specification names no property to search by.")
    return [item.id for item in server.library.catalog.items(library_id, name)]


@_operation("item.get")
def _get_item(server: Simulator, call: OperationCall) -> Any:
    return item_view(server.library.catalog.item(call.text("library_item_id")), server.clock)


@_operation("item.delete", Gives.NOTHING, privilege="DeleteLibraryItem")
def _delete_item(server: Simulator, call: OperationCall) -> None:
    server.library.delete_item(call.text("library_item_id"))


@_operation("update_session_file.add", Gives.NEW, "file_spec")
def _add_file(server: Simulator, call: OperationCall) -> Any:
    try:
        source_type = SourceType(call.text("source_type"))
    except ValueError:
        raise invalid("source_type is none of NONE, PUSH and PULL.") from None
    endpoint = call.args.get("source_endpoint")
    session_id = call.text("update_session_id")
    file = server.library.transfers.add(
        session_id,
        call.text("name"),
        source_type,
        size=call.number_or_none("size"),
        source_uri=endpoint.get("uri") if isinstance(endpoint, Mapping) else None,
    )
    return file_view(session_id, file, server.library.transfers, call.base_url)


@_operation("update_session_file.list")
def _list_files(server: Simulator, call: OperationCall) -> list[Any]:
    transfers = server.library.transfers
    session_id = call.text("update_session_id")
    files = transfers.files(session_id)
    return [file_view(session_id, file, transfers, call.base_url) for file in files]


@_operation("update_session_file.get")
def _get_file(server: Simulator, call: OperationCall) -> Any:
    transfers = server.library.transfers
    session_id = call.text("update_session_id")
    file = transfers.file(session_id, call.text("file_name"))
    return file_view(session_id, file, transfers, call.base_url)


@_operation("update_session_file.remove", Gives.NOTHING)
def _remove_file(server: Simulator, call: OperationCall) -> None:
    server.library.transfers.remove(call.text("update_session_id"), call.text("file_name"))


@_operation("update_session_file.validate")
def _validate_files(server: Simulator, call: OperationCall) -> Any:
    return validation_view(server.library.transfers.validate(call.text("update_session_id")))


@_operation("download_session_file.list")
def _list_downloads(server: Simulator, call: OperationCall) -> list[Any]:
    downloads = server.library.downloads
    files = downloads.files(call.text("download_session_id"))
    return [download_file_view(file, downloads, call.base_url) for file in files]


@_operation("download_session_file.get")
def _get_download(server: Simulator, call: OperationCall) -> Any:
    downloads = server.library.downloads
    file = downloads.file(call.text("download_session_id"), call.text("file_name"))
    return download_file_view(file, downloads, call.base_url)


@_operation("download_session_file.prepare")
def _prepare_download(server: Simulator, call: OperationCall) -> Any:
    downloads = server.library.downloads
    session_id, name = call.text("download_session_id"), call.text("file_name")
    file = downloads.prepare(session_id, name, call.text_or_none("endpoint_type") or "HTTPS")
    return download_file_view(file, downloads, call.base_url)


@_operation("update_session.complete", Gives.NOTHING)
def _complete(server: Simulator, call: OperationCall) -> None:
    server.library.sessions.complete(Kind.UPDATE, call.text("update_session_id"))


def _add_session_operations(kind: Kind) -> None:
    """Add the operations common to both kinds of session, for one kind."""
    noun = f"{kind}_session"
    id_parameter = f"{kind}_session_id"
    # The SDK's bindings name this parameter differently for the two kinds.
    progress_parameters = ("client_progress", "progress")[: 1 if kind is Kind.UPDATE else 2]

    @_operation(f"{noun}.create", Gives.NEW, "create_spec", f"{kind.capitalize()}Session")
    def create(server: Simulator, call: OperationCall) -> str:
        item_id = call.text("library_item_id")
        return server.library.sessions.create(kind, item_id, call.caller.user.name).id

    @_operation(f"{noun}.get")
    def get(server: Simulator, call: OperationCall) -> Any:
        session = server.library.sessions.get(kind, call.text(id_parameter))
        return session_view(session, server.clock, call.expiry_skew)

    @_operation(f"{noun}.list")
    def list_own(server: Simulator, call: OperationCall) -> list[str]:
        item_id = call.text_or_none("library_item_id")
        sessions = server.library.sessions.created_by(kind, call.caller.user.name, item_id)
        return [session.id for session in sessions]

    @_operation(f"{noun}.keep_alive", Gives.NOTHING)
    def keep_alive(server: Simulator, call: OperationCall) -> None:
        progress = None
        for parameter in progress_parameters:
            if parameter in call.args:
                progress = call.number_or_none(parameter)
        server.library.sessions.keep_alive(kind, call.text(id_parameter), progress)

    @_operation(f"{noun}.cancel", Gives.NOTHING)
    def cancel(server: Simulator, call: OperationCall) -> None:
        server.library.sessions.cancel(kind, call.text(id_parameter))

    @_operation(f"{noun}.fail", Gives.NOTHING)
    def fail(server: Simulator, call: OperationCall) -> None:
        message = call.text("client_error_message")
        server.library.sessions.fail(kind, call.text(id_parameter), message)

    @_operation(f"{noun}.delete", Gives.NOTHING)
    def delete(server: Simulator, call: OperationCall) -> None:
        server.library.sessions.delete(kind, call.text(id_parameter))


for _kind in Kind:
    _add_session_operations(_kind)


def _stream(server: Simulator, call: OperationCall) -> None:
    raise AssertionError("content is received and sent as a stream")


UPLOAD = Operation("upload", _stream, Gives.NOTHING, Kind.UPDATE, needs_login=False)
"""The PUT of a file's content. Its body is a stream; it has no function."""
DOWNLOAD = Operation("download", _stream, kind=Kind.DOWNLOAD, needs_login=False)
"""The GET of a file's content. Its response is a stream; it has no function."""
