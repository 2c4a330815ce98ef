"""What passes to and from the FHIR server."""

from dataclasses import dataclass
from typing import Any

Resource = dict[str, Any]
"""A FHIR resource or Bundle as plain JSON: it may carry elements that we do not know."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the FHIR server says of one entry of a transaction; None if it does not say it.

    `created`: the status is 201, so it now holds what was sent. `reference` is `Patient/7`, `version` its
    `meta.versionId`.
    """

    created: bool
    reference: str | None
    version: str | None
