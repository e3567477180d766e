"""The result of a run, as JSON to attach to a bug report, and as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from keepalived.lease.answers import Outcome
from keepalived.probe.advice import Advice
from keepalived.probe.findings import Finding
from keepalived.probe.notes import Notes
from keepalived.probe.scratch import Left
from keepalived.settings.durations import format_duration

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Names:
    """The names that identify the vCenter, which a report omits by default."""

    vcenter: str
    url: str
    library: str


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a run. `began_at` is in seconds since the epoch, durations are in seconds.

    `failure` is why nothing could be tried, and `outcome` the vCenter's answer in that case.
    """

    version: str
    names: Names
    dialect: str
    began_at: float
    took: float
    configured: float
    limit: float
    notes: Notes
    findings: tuple[Finding, ...]
    advice: Advice
    left: tuple[Left, ...]
    is_interrupted: bool = False
    failure: str = ""
    outcome: Outcome | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every trial was completed, and everything was removed."""
        return not (self.is_interrupted or self.failure or self.notes.troubles or self.left)


def as_json(report: Report, *, with_names: bool) -> dict[str, Any]:
    """Return a report as JSON data. It holds no secrets, and names only with `with_names`."""
    began = datetime.fromtimestamp(report.began_at, UTC).isoformat(timespec="seconds")
    notes = asdict(report.notes)
    if not with_names:
        for trouble in notes["troubles"].values():
            del trouble["detail"]
    return {
        "format": FORMAT,
        "program": f"clkeepalived {report.version}",
        **({"names": asdict(report.names)} if with_names else {}),
        "began": began.replace("+00:00", "Z"),
        "took_seconds": round(report.took, 1),
        "dialect": report.dialect,
        "configured_session_timeout_seconds": report.configured,
        "limit_seconds": report.limit,
        "is_interrupted": report.is_interrupted,
        "is_whole": report.is_whole,
        **({"failure": report.failure} if report.failure and with_names else {}),
        "findings": {
            str(finding.question): {"answer": str(finding.verdict), "words": finding.words}
            for finding in report.findings
        },
        "suggestion": {
            "session_timeout_seconds": report.advice.session_timeout,
            "observe": report.advice.observe,
            "remarks": list(report.advice.remarks),
        },
        "left_behind": [
            {"what": each.what, "id": each.id, **({"name": each.name} if with_names else {})}
            for each in report.left
        ],
        "observations": _rounded(notes),
    }


def suggestion(report: Report) -> Iterator[str]:
    """Yield the recommended lines of configuration, with the other advice as comments."""
    advice = report.advice
    yield "vcenters:"
    yield f"  {report.names.vcenter}:"
    timeout = report.configured if advice.session_timeout is None else advice.session_timeout
    yield f"    session_timeout: {format_duration(timeout)}"
    if advice.observe is not None:
        yield f"    observe: {advice.observe}"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value
