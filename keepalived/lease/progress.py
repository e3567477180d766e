"""The progress of an upload, as its uploader reports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress in percent, or in bytes done of bytes total; all None when nothing is known.

    Bytes without a total are kept, and say nothing about the percentage. Raises ValueError, with
    words for the person who gave the values.
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
            raise ValueError(f"bytes done cannot be negative, as {self.done} is")
        if self.total is not None and self.total < 0:
            raise ValueError(f"bytes total cannot be negative, as {self.total} is")
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
    """Return the progress that a request should carry: only a value above the last acknowledged.

    The API requires each value to be greater than the current one, which may also have been
    reported by another uploader.
    """
    if wanted is None or (acknowledged is not None and wanted <= acknowledged):
        return None
    return wanted


def highest(first: int | None, second: int | None) -> int | None:
    """Return the greater of two values, each of which may be unknown."""
    if first is None or second is None:
        return second if first is None else first
    return max(first, second)
