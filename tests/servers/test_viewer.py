"""The viewer's Endpoint within a study, on FHIR servers as they are: kept as it was written, and found to be so."""

from uuid import uuid4

from shared.clients.fhir.client import FhirClient
from shared.clients.http import HttpService
from shared.mapping.mapping_options import MappingOptions
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.transact.task import StudyResult
from tests.fakes import FakeArchive, entry, ports


def test_a_contained_endpoint_is_kept(fhir_url):
    """A host that knows nothing of the first writes nothing; an instance more leaves it, and no setting takes it out."""
    url, uid = f"https://{uuid4().hex}.example.org", f"2.25.{uuid4().int}"
    entries = [
        entry(number, study=uid, series=f"{uid}.1", instance=f"{uid}.1.{number}", t00100020=uid[-20:])
        for number in (1, 2)
    ]

    def synced(*some, viewer="https://viewer.example.org/{StudyInstanceUID}"):
        client = FhirClient(HttpService("FHIR server", fhir_url))
        sync = StudySync(
            ports(fhir=client, archive=FakeArchive({uid: list(some)})), MappingOptions(url, viewer_url=viewer)
        )
        (result,) = sync.run_all([Study(list(some))])
        assert isinstance(result, StudyResult)
        (study,) = client.search("ImagingStudy", f"identifier=urn:dicom:uid%7Curn:oid:{uid}")
        return result.wrote, study

    def said(study):
        addresses = [one["address"] for one in study.get("contained", ())]
        return addresses, len(study["endpoint"]), study["numberOfInstances"]

    assert said(synced(entries[0])[1]) == ([f"https://viewer.example.org/{uid}"], 2, 1)
    assert synced(entries[0])[0] is False
    assert said(synced(*entries)[1]) == ([f"https://viewer.example.org/{uid}"], 2, 2)
    assert synced(*entries)[0] is False
    assert said(synced(*entries, viewer="")[1]) == ([], 1, 2)
