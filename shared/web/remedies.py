"""What to do about an open error row, in a sentence: docs/runbook.md says more."""

from shared.model.failures import ErrorTable

_REPLAY = "then replay the rows"
_BY_TABLE = {
    ErrorTable.INVALID_TAG: (
        "the entries are in FHIR without this tag; have it corrected at its source: the update is synced by itself"
    ),
    ErrorTable.DICOM: (
        "the entries are not in FHIR; have the tag corrected in the archive: the update is synced by itself"
    ),
    ErrorTable.FHIR: f"the entries are not in FHIR; mend what the FHIR server does not take, {_REPLAY}",
    ErrorTable.TRANSIENT_RETRY: "nothing: they are tried again by themselves",
    ErrorTable.TRANSIENT_FAILURE: f"the entries are not in FHIR; look why the server failed, {_REPLAY}",
}
_BY_EXCEPTION = {
    "MultipleMatchingResourcesError": f"merge or delete all but one of the resources that are named, {_REPLAY}",
    "EndpointMismatchError": f"correct or delete the Endpoint that is named, {_REPLAY}",
    "MalformedResourceError": f"mend or delete in FHIR the resource that is named, {_REPLAY}",
    "ReplacedPatientError": f"mend the Patient's link in the registry, {_REPLAY}",
    "UnversionedResourceError": f"write the resource anew in FHIR, {_REPLAY}",
    "DeleteRefusedError": f"delete or move what links to the study in FHIR, {_REPLAY}; or leave it",
    "PagingError": f"mend the server's base URL; docs/runbook.md, 'Pages that cannot be followed'; {_REPLAY}",
    "DoubledPatient": "choose one of the two Patients; docs/runbook.md, 'Two Patients for one PatientID'",
    "SeveralPatients": "find out whose the images are; docs/runbook.md, 'One study, several patients'",
    "SeveralOrders": "delete or correct all orders but one; docs/runbook.md, 'An order that is not linked'",
    "OrderOfAnotherPatient": "find out whose the images are; docs/runbook.md, 'An order that is not linked'",
    "StudyTooLargeError": "the study is in FHIR, its instances are counted and not listed: nothing, or replay it later",
    "TornEntryError": "docs/runbook.md, 'A torn entry that says nothing of its study', or replay the rows",
}


def remedy_of(table: ErrorTable, exception: str, message: str) -> str:
    """What to do about such rows; the class of what nobody foresaw is any of Python's."""
    if message.startswith("unforeseen "):
        return f"please report it; once a release mends it, {_REPLAY}"
    return _BY_EXCEPTION.get(exception) or _BY_TABLE[table]
