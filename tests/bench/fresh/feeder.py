"""Puts instances into the database of a DICOM service at an even rate: `python -m tests.bench.fresh.feeder '[database, ...]'`.

A process of its own, so that neither the service nor the app pays for it. Ends with 1 where it could not keep up.
"""

import json
import sys
import time
from collections.abc import Callable
from itertools import islice

from local.dicom_service import store
from local.dicom_service.database import Database
from tests.bench.workloads import Work, ct_studies, hospital_day, instances

EVERY_SECONDS = 0.1
LATE, LATE_SECONDS = 1.02, 1
"""So much longer than it should it may take."""
WORKS: dict[str, Callable[..., Work]] = {"ct": ct_studies, "day": hospital_day}


def main() -> None:
    path, work, sizes, per_second, seconds = json.loads(sys.argv[1])
    database = Database(path)
    arriving = instances(WORKS[work](*sizes))
    most = int(per_second * seconds)
    began, sent = time.monotonic(), 0
    while sent < most:
        passed = time.monotonic() - began
        due = min(most, int(passed * per_second)) - sent
        if chunk := list(islice(arriving, due)):
            store.add(database, store.DEFAULT_PARTITION, chunk)
            sent += len(chunk)
        elif due:
            break  # there is no more
        time.sleep(max(0.0, EVERY_SECONDS - (time.monotonic() - began - passed)))
    took = time.monotonic() - began
    database.close()
    if sent < most or took > LATE * seconds + LATE_SECONDS:
        print(f"{sent:,} of {most:,} instances came in, {sent / took:,.0f} a second", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
