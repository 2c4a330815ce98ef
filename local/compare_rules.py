"""The app's settings that decide what FHIR must have."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timezone
from typing import Self

from local.dicom_says import utc_offset

_PREFIX = "dicomcast__"
_FEATURES = f"{_PREFIX}features__"


@dataclass(frozen=True, slots=True)
class Rules:
    """What FHIR must have by the app's settings; the defaults are the app's.

    `observations`: whether dose reports become Observations. `extended`: whether the rows of the mapping are written
    that the original app lacks. `policy`: Patient__UpdatePolicy. `offset`: the UTC offset for instances that have none.
    """

    observations: bool = False
    extended: bool = True
    policy: str = "overwrite"
    offset: timezone = UTC

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Self:
        """Reads app settings; the case of their names is ignored. Raises ValueError if the UTC offset is invalid."""
        given = {name.lower(): value.strip() for name, value in settings.items()}
        return cls(
            given.get(f"{_FEATURES}generateobservations", "").lower() == "true",
            given.get(f"{_FEATURES}extendedmapping", "").lower() != "false",
            given.get("patient__updatepolicy", "").lower() or "overwrite",
            utc_offset(given.get(f"{_PREFIX}defaultutcoffset", "")),
        )
