"""The result as lines for a person, and as a JSON document."""

import json
from collections.abc import Mapping
from typing import Any

from local.acceptance.promises import Promises
from local.acceptance.removal import Removed
from local.acceptance.server import Resource

_COLUMN = 40


def server_rows(url: str, statement: Resource) -> dict[str, str]:
    """The rows about the server from its CapabilityStatement."""
    software = statement.get("software", {})
    rest = (statement.get("rest") or [{}])[0]
    codes = sorted(str(one.get("code")) for one in rest.get("interaction", []))
    return {
        "URL": url,
        "software": " ".join(str(software[one]) for one in ("name", "version") if one in software) or "not told",
        "FHIR version": str(statement.get("fhirVersion", "not told")),
        "advertised for the whole system": ", ".join(codes) or "nothing",
    }


def table(rows: Mapping[str, str]) -> str:
    """The rows as lines of text."""
    return "\n".join(f"  {name:<{_COLUMN}} {value}" for name, value in rows.items())


def removed_lines(removed: Removed) -> list[str]:
    """How many resources were removed, and which were not, as lines of text."""
    lines = [f"removed {removed.count} resources"]
    if removed.left:
        lines.append(f"could not remove {len(removed.left)} resources:")
        lines += [f"  {reference}: {reason}" for reference, reason in removed.left.items()]
    return lines


def document(run: str, rows: Mapping[str, str], promises: Promises, removed: Removed) -> str:
    """The result as a JSON document. `rows`: what the server does."""
    content: dict[str, Any] = {
        "run": run,
        "ok": promises.all_hold,
        "server": dict(rows),
        "promises": promises.as_json(),
        "removed": removed.count,
        "left": removed.left,
    }
    return json.dumps(content, indent=2, ensure_ascii=False)
