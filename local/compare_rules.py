"""What the app's settings have to do with what FHIR is to say."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timezone
from typing import Self

from local.dicom_says import utc_offset

_PREFIX = "dicomcast__"
_FEATURES = f"{_PREFIX}features__"


@dataclass(frozen=True, slots=True)
class Rules:
    """As the app's settings are where nothing is set.

    `observations`: dose reports are Observations. `extended`: the app's own rows of the mapping are written. `policy`:
    what of a Patient follows DICOM. `offset`: of times whose instance has none.
    """

    observations: bool = False
    extended: bool = True
    policy: str = "overwrite"
    offset: timezone = UTC

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Self:
        """Those of app settings, whose names are in any letter case. Raises ValueError where an offset is none."""
        given = {name.lower(): value.strip() for name, value in settings.items()}
        return cls(
            given.get(f"{_FEATURES}generateobservations", "").lower() == "true",
            given.get(f"{_FEATURES}extendedmapping", "").lower() != "false",
            given.get("patient__updatepolicy", "").lower() or "overwrite",
            utc_offset(given.get(f"{_PREFIX}defaultutcoffset", "")),
        )
