"""Terraform's own messages, whole."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error or warning of Terraform.

    Attributes:
        severity: ``error`` or ``warning``.
        summary: Terraform's headline.
        detail: Terraform's explanation; may be empty.
        address: The resource it is about; may be empty.
        file: Name of the file; empty when it is about none.
        line: 1-based, 0 when unknown.
        snippet: The source line; empty when unknown.
    """

    severity: str
    summary: str
    detail: str = ""
    address: str = ""
    file: str = ""
    line: int = 0
    snippet: str = ""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Diagnostic":
        """From the ``diagnostic`` object of Terraform's JSON output."""
        place = value.get("range") or {}
        snippet = value.get("snippet") or {}
        context = f"{snippet['context']}: " if snippet.get("context") else ""
        return cls(
            severity=value.get("severity", "error"),
            summary=value.get("summary", ""),
            detail=value.get("detail", ""),
            address=value.get("address", ""),
            file=place.get("filename", ""),
            line=(place.get("start") or {}).get("line", 0),
            snippet=f"{context}{snippet['code'].strip()}" if snippet.get("code") else "",
        )

    @classmethod
    def from_library(cls, value: Mapping[str, Any], folder: str) -> "Diagnostic":
        """From what the library's parser says; ``folder`` is taken off the file names."""
        subject = value.get("Subject") or {}
        name = str(subject.get("Filename", ""))
        return cls(
            severity="error" if value.get("Severity", 1) == 1 else "warning",
            summary=value.get("Summary", ""),
            detail=value.get("Detail", ""),
            file=name.removeprefix(folder).lstrip("/"),
            line=(subject.get("Start") or {}).get("Line", 0),
        )

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        about = f" with {self.address}" if self.address else ""
        lines = [f"{self.severity.capitalize()}: {self.summary}"]
        if place or about:
            lines.append(f"  on {place}{about}" if place else f" {about}")
        if self.snippet:
            lines.append(f"    {self.snippet}")
        lines += [f"  {line}" for line in self.detail.splitlines()]
        return "\n".join(lines)


def describe(diagnostics: Iterable[Diagnostic]) -> str:
    """All of them, errors first, as a user reads them."""
    return "\n".join(str(each) for each in sorted(diagnostics, key=lambda each: each.severity != "error"))
