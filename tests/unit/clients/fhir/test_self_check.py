"""What the self-check says of a FHIR server that is known by its host."""

from types import SimpleNamespace

import pytest

from shared.clients.fhir.self_check import FhirSelfCheck
from shared.errors import CheckError, IncompatibleServerError, OutageError

SAID = "this is Azure API for FHIR"


@pytest.mark.parametrize(
    ("url", "error", "is_named"),
    [
        ("https://contoso.azurehealthcareapis.com", IncompatibleServerError("FHIR server", "no transactions"), True),
        ("https://contoso.azurehealthcareapis.com", OutageError("FHIR server", "no such host"), True),
        ("https://w-fhir.fhir.azurehealthcareapis.com", OutageError("FHIR server", "no such host"), False),
        ("https://fhir.example.org/azurehealthcareapis.com", OutageError("FHIR server", "no such host"), False),
    ],
)
def test_the_retired_azure_api_for_fhir_is_named(url, error, is_named):
    """It has no transactions, and since 30 September 2026 no host: either way the remedy is another service."""

    def check():
        raise error

    fhir = SimpleNamespace(check=check, service=SimpleNamespace(url=url))
    with pytest.raises(CheckError if is_named else type(error)) as caught:
        FhirSelfCheck(fhir, None).r4()
    assert (SAID in str(caught.value)) == is_named
    assert not is_named or "Azure Health Data Services" in caught.value.action
    assert str(error) in str(caught.value)
