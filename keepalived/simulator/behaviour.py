"""Settings for behaviour in which real vCenters differ or are configurable."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Behaviour:
    """The behaviour of one simulated vCenter. All fields may be changed at any time.

    `session_timeout` (seconds) applies from the next activity on. `pull_duration` (seconds) is how
    long the server takes to fetch a PULL file, `validation_duration` (seconds) how long it
    validates all files after a session was completed, and `prepare_duration` (seconds) how long it
    prepares a file for download.

    With `put_counts_as_activity` every chunk of a PUT or of a download extends the session's
    lifetime. With `bytes_during_put` the bytes of a PUT are reported as they arrive. It is not
    documented whether a real server does either.
    """

    session_timeout: float = 300.0
    pull_duration: float = 10.0
    validation_duration: float = 0.0
    prepare_duration: float = 0.0
    put_counts_as_activity: bool = True
    bytes_during_put: bool = True


DEFAULT = Behaviour()
"""The defaults; the session timeout is that of the Content Library Service."""
