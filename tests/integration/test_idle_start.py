"""A host that starts cold and finds nothing to do loads neither the mapping nor what merges and writes."""

import os
import subprocess
import sys

from local.stack import ROOT

PROGRAM = "import sys, function_app; print(function_app.bootstrap.app().tick().outcome, *sys.modules)"
LATER = ("shared.mapping.resources", "shared.sync.map", "shared.sync.transact", "shared.sync.queue.studies", "fhir")


def test_a_tick_without_entries_maps_nothing(dicom, storage, fhir_url):
    """The first entry of the feed loads them (docs/adr/0034-loaded-when-needed.md)."""
    given = {"AzureWebJobsStorage": storage, "DicomWeb__Endpoint": dicom.url, "Fhir__Endpoint": fhir_url}
    environment = {**os.environ, **given, "TableStore__TableNamePrefix": "idlestart"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    outcome, *loaded = ended.stdout.split()
    assert (outcome, "shared.sync.batch" in loaded) == ("idle", True)
    assert [name for name in loaded if name.startswith(LATER)] == []
