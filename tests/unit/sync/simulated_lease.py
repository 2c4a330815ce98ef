"""A blob's lease on a simulated clock: the storage service's side of it, and a host's."""

import contextlib
import itertools

from shared.errors import LeaseLostError

LEASE_SECONDS = 30


class LeaseConflictError(Exception):
    """409 LeaseAlreadyPresent, LeaseIdMismatchWithLeaseOperation."""


class LeaseService:
    """A blob's lease as Azure storage keeps it (REST API, Lease Blob): 15-60 s, one holder at a time."""

    def __init__(self, clock, on_acquired) -> None:
        self._clock, self._on_acquired = clock, on_acquired
        self._holder, self._duration, self._until = None, 0.0, 0.0

    def acquire(self, lease_id, duration) -> None:
        assert 15 <= duration <= 60
        if self._holder and self._clock.seconds < self._until:
            raise LeaseConflictError
        self._holder, self._duration = lease_id, duration
        self.renew(lease_id)
        self._on_acquired(lease_id)

    def renew(self, lease_id) -> None:
        """Also of a lease that has run out, unless another took it since."""
        if not self.is_holder(lease_id):
            raise LeaseConflictError
        self._until = self._clock.seconds + self._duration

    def release(self, lease_id) -> None:
        if not self.is_holder(lease_id):
            raise LeaseConflictError
        self._holder = None

    def is_holder(self, lease_id) -> bool:
        return lease_id is not None and self._holder == lease_id


class HostLease:
    """A host's side of it, by the rules of shared/clients/azure/lease.py. One renewal in ten does not come through."""

    def __init__(self, host, service, chance) -> None:
        self._host, self._service, self._chance, self._clock = host, service, chance, host.clock
        self._numbers = itertools.count()
        self._valid_until = 0.0
        self.id: tuple[str, int] | None = None

    @property
    def is_held(self) -> bool:
        """Whether the service thinks so too."""
        return self._service.is_holder(self.id)

    def acquire(self) -> bool:
        asked, lease_id = self._clock.seconds, (self._host.name, next(self._numbers))
        self.id = lease_id
        try:
            self._host.request(self._service.acquire, lease_id, LEASE_SECONDS)
        except LeaseConflictError:
            return False
        self._valid_until = asked + LEASE_SECONDS
        self._clock.after(LEASE_SECONDS / 3, lambda: self._renew(lease_id))
        return True

    def ensure_held(self) -> None:
        if self._clock.seconds >= self._valid_until:
            raise LeaseLostError("not renewed in time")

    def show_progress(self, done, entries) -> None:
        pass

    def release(self) -> None:
        with contextlib.suppress(LeaseConflictError):
            self._host.request(self._service.release, self.id)
        self.id, self._valid_until = None, 0.0

    def _renew(self, lease_id) -> None:
        if self.id != lease_id or self._host.is_dead:
            return
        if self._host.is_frozen:
            self._clock.at(self._host.frozen_until, lambda: self._renew(lease_id))
            return
        try:
            if self._chance.random() > 0.1:
                self._service.renew(lease_id)
                self._valid_until = self._clock.seconds + LEASE_SECONDS
        except LeaseConflictError:
            self._valid_until = 0.0
        else:
            self._clock.after(LEASE_SECONDS / 3, lambda: self._renew(lease_id))
