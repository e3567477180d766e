"""The progress of an upload, as its uploader reports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress in percent, or in bytes done of bytes total; all None when nothing is known.

    Bytes without a total say nothing about the percentage. Raises ValueError with a message for
    the user who gave the values.
    """

    percent: int | None = None
    done: int | None = None
    total: int | None = None

    def __post_init__(self) -> None:
        if self.percent is not None and not 0 <= self.percent <= 100:
            raise ValueError(f"progress is a percentage from 0 to 100, not {self.percent}")
        if self.percent is not None and (self.done is not None or self.total is not None):
            raise ValueError("give progress in percent or in bytes, not both")
        if self.done is not None and self.done < 0:
            raise ValueError(f"bytes done must be at least 0, not {self.done}")
        if self.total is not None and self.total < 0:
            raise ValueError(f"bytes total must be at least 0, not {self.total}")
        if self.done is not None and self.total is not None and self.done > self.total:
            raise ValueError(f"{self.done} bytes done are more than the total of {self.total}")

    @property
    def client_progress(self) -> int | None:
        """The value for the API's `client_progress`, rounded down, or None if nothing is known."""
        if self.percent is not None:
            return self.percent
        if self.done is None or not self.total:
            return None
        return 100 * self.done // self.total


UNKNOWN = Progress()


def value_to_send(wanted: int | None, acknowledged: int | None) -> int | None:
    """Return the progress to send, or None unless it exceeds the last acknowledged value.

    The API requires each value to exceed the current one, which another uploader may have reported.
    """
    if wanted is None or (acknowledged is not None and wanted <= acknowledged):
        return None
    return wanted


def highest(first: int | None, second: int | None) -> int | None:
    """Return the greater of two values, either of which may be unknown (None)."""
    if first is None or second is None:
        return second if first is None else first
    return max(first, second)
