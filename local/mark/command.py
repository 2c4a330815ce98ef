"""`python -m local mark`: adds the app's sign to what it made before, if the FHIR server drops `meta.source`."""

import argparse
import sys
from pathlib import Path

from local.base_url import base_url
from local.fhir_settings import fhir_service, settings_for_fhir
from local.functions_host.settings import HostError
from local.mark.marking import Marking
from local.mark.unsigned import Unsigned
from local.processes import StackError
from shared.clients.fhir.client import FhirClient
from shared.errors import DicomCastError
from shared.mapping.mapping_options import MappingOptions
from shared.model.change_feed import DEFAULT_PARTITION


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command `mark` and its options."""
    purpose = "put the app's sign on what it made for a DICOM service, where the FHIR server has dropped meta.source"
    parser = commands.add_parser("mark", help=purpose, description=f"{purpose}.")
    parser.add_argument("--fhir", required=True, type=base_url, metavar="URL", help="base URL of the FHIR R4 server")
    parser.add_argument(
        "--dicom", required=True, type=base_url, metavar="URL", help="the DICOM service, as DicomWeb__Endpoint says it"
    )
    parser.add_argument("--partition", default=DEFAULT_PARTITION, metavar="NAME", help="a data partition of it")
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="the app's settings for the server, Fhir__*, as in local.settings.json",
    )
    parser.add_argument("--yes", action="store_true", help="write; without it they are only counted and named")


def mark(arguments: argparse.Namespace) -> int:
    """Counts and names the resources without a sign, or with `--yes` marks them.

    Returns the exit code: 1 if one could not be marked, else 0. Raises StackError.
    """
    try:
        settings = settings_for_fhir(arguments.settings, arguments.fhir, arguments.dicom)
        options = MappingOptions(settings.dicom_url).of_partition(arguments.partition)
        fhir = FhirClient(fhir_service(settings))
        fhir.check()
        return _mark(fhir, options, is_agreed=arguments.yes)
    except (HostError, DicomCastError) as error:
        raise StackError(str(error)) from error


def _mark(fhir: FhirClient, options: MappingOptions, *, is_agreed: bool) -> int:
    unsigned = Unsigned(fhir, options)
    studies = unsigned.studies()
    found = {"ImagingStudy": studies, "Observation": unsigned.observations()}
    counted = ", ".join(f"{len(references)} {kind}" for kind, references in found.items())
    if not is_agreed:
        for reference in (one for references in found.values() for one in references):
            print(reference)
        print(f"{counted} made for {options.service_url} bear no sign. Nothing was written: say --yes to mark them.")
        return 0
    marking = Marking(fhir, options.service_url)
    for kind, references in found.items():
        marking.mark(kind, references)
    for line in marking.left:
        print(line, file=sys.stderr)
    print(f"{counted} bore no sign; {marking.written} were marked, {len(marking.left)} are left")
    return 1 if marking.left else 0
