"""How many studies and instances a run stores."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """`real_studies`: at most; pydicom has some 40. `studies_for_two_hosts`: for the step with two hosts."""

    real_studies: int = 1000
    ct_instances: int = 500
    dose_events: int = 60
    studies_for_two_hosts: int = 20

    @property
    def observations(self) -> int:
        """How many Observations the dose report becomes: one for each event, and a summary."""
        return self.dose_events + 1


WHOLE = Sizes()
