"""The standard vAPI errors that a Content Library reports."""

from __future__ import annotations

from enum import StrEnum

_MESSAGE_IDS = "com.vmware.vapi.std.errors."
HTTP_NOT_FOUND = "com.vmware.vapi.rest.httpNotFound"
"""Message id by which vCenter 9 distinguishes unknown routes from unknown resources."""


class ErrorType(StrEnum):
    """Discriminator of an error; every member has a status code and a canonical name."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    INVALID_REQUEST = "INVALID_REQUEST"
    NOT_ALLOWED_IN_CURRENT_STATE = "NOT_ALLOWED_IN_CURRENT_STATE"
    RESOURCE_BUSY = "RESOURCE_BUSY"
    UNSUPPORTED = "UNSUPPORTED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    UNAUTHORIZED = "UNAUTHORIZED"
    NOT_FOUND = "NOT_FOUND"
    OPERATION_NOT_FOUND = "OPERATION_NOT_FOUND"
    CONCURRENT_CHANGE = "CONCURRENT_CHANGE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    TIMED_OUT = "TIMED_OUT"
    ERROR = "ERROR"

    @property
    def status(self) -> int:
        """The HTTP status of this error."""
        return _STATUS.get(self, 400)

    @property
    def canonical_name(self) -> str:
        """The name in the `rest` dialect and JSON-RPC."""
        return _MESSAGE_IDS + self.lower()


_STATUS = {
    ErrorType.UNAUTHENTICATED: 401,
    ErrorType.UNAUTHORIZED: 403,
    ErrorType.NOT_FOUND: 404,
    ErrorType.OPERATION_NOT_FOUND: 404,
    ErrorType.CONCURRENT_CHANGE: 409,
    ErrorType.INTERNAL_SERVER_ERROR: 500,
    ErrorType.SERVICE_UNAVAILABLE: 503,
    ErrorType.TIMED_OUT: 504,
}
_BY_STATUS = {status: error_type for error_type, status in _STATUS.items()} | {
    400: ErrorType.INVALID_REQUEST,
    404: ErrorType.NOT_FOUND,
    429: ErrorType.SERVICE_UNAVAILABLE,
}


def type_for_status(status: int) -> ErrorType:
    """Return the error for a status code without further information."""
    return _BY_STATUS.get(status, ErrorType.ERROR)


class ApiError(Exception):
    """An operation was refused.

    `status` defaults to the one of the error's type; `message_id` to the type's canonical name.
    """

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        *,
        message_id: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.type = error_type
        self.message = message
        self.message_id = message_id or error_type.canonical_name
        self.status = status or error_type.status


def not_found(what: str, identifier: str) -> ApiError:
    """Return the error for a resource that does not exist, or no longer does."""
    return ApiError(ErrorType.NOT_FOUND, f"The {what} with identifier {identifier} was not found.")


def invalid(message: str) -> ApiError:
    """Return the error for an invalid argument."""
    return ApiError(ErrorType.INVALID_ARGUMENT, message)


def not_allowed(message: str) -> ApiError:
    """Return the error for an operation that the resource's state forbids."""
    return ApiError(ErrorType.NOT_ALLOWED_IN_CURRENT_STATE, message)
