"""How much a run stores."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of real studies at most so many; pydicom has some 40."""

    real_studies: int = 1000
    ct_instances: int = 500
    dose_events: int = 60
    studies_for_two_hosts: int = 20

    @property
    def observations(self) -> int:
        """How many the dose report becomes: one for each event, and the summary."""
        return self.dose_events + 1


WHOLE = Sizes()
