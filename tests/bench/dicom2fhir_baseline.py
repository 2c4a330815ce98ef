"""dicom2fhir 0.1.25 on the metadata of whole studies; run by .venv-bench: DICOM JSON comes in by line, the cost goes out.

One bundle per study with all its instances, as text; parsing the DICOM JSON is not part of the cost.
"""

import asyncio
import json
import logging
import sys
import time
from collections import Counter

from dicom2fhir import dicom2fhir, helpers

CONFIG = {"dicom_timezone": "UTC", "generator": {"imaging_study": {"add_instances": True}}}


async def given(study):
    for metadata in study:
        yield metadata


def main():
    logging.disable()
    studies = {}
    for line in sys.stdin:
        metadata = json.loads(line)
        studies.setdefault(metadata["0020000D"]["Value"][0], []).append(metadata)
    config = {**CONFIG, "id_function": helpers.default_id_function()}
    faults = Counter()
    done = 0
    started = time.process_time()
    for study in studies.values():
        try:
            asyncio.run(dicom2fhir.from_generator(given(study), config)).model_dump_json()
            done += len(study)
        except Exception as error:  # noqa: BLE001 whatever it stops at is the result
            faults[type(error).__name__] += len(study)
    print(json.dumps({"done": done, "cpu_seconds": time.process_time() - started, "faults": faults}))


if __name__ == "__main__":
    main()
