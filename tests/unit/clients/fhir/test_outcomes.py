"""What an OperationOutcome says in rows and log lines: what is on a list, and nothing that a patient's record has."""

import importlib
import inspect
import itertools
import logging

import pytest
from fhir.resources.R4B import get_fhir_model_class

from shared.clients.fhir.faults import fault_of
from shared.clients.fhir.outcomes import ELEMENTS, Refusal, refusal_of
from shared.mapping.mapping_options import MappingOptions
from shared.sync.batch import BatchOptions, run_batch
from tests.fakes import FakeErrors, FakeFeed, FakeFhir, entry, ports
from tests.unit.clients.fhir.http_fake import answer


def outcome(*issues):
    return {"resourceType": "OperationOutcome", "issue": list(issues)}


def issue(**said):
    return outcome({"severity": "error", "code": "invalid"} | said)


REFUSALS = [
    # content, what is read
    (None, Refusal()),
    ([], Refusal()),
    ({"resourceType": "Patient"}, Refusal()),
    (outcome(), Refusal()),
    (outcome(None, 7, "error"), Refusal()),
    ({"resourceType": "OperationOutcome", "issue": {"severity": "error"}}, Refusal()),
    (issue(), Refusal(": error invalid")),
    (issue(severity="ERROR"), Refusal(": invalid")),
    (issue(code="my-own"), Refusal(": error")),
    (issue(severity=None, code=["invalid"]), Refusal()),
    (issue(expression=["Patient.birthDate"]), Refusal(": error invalid at Patient.birthDate", has_paths=True)),
    (issue(expression=["Bundle.entry[0].resource.ofType(Patient).name[0].given[1]"]), Refusal(": error invalid at Bundle.entry[0].resource.ofType(Patient).name[0].given[1]", has_paths=True)),
    (issue(expression=["Bundle.entry[0].resource/*Patient/7*/.birthDate"]), Refusal(": error invalid at Bundle.entry[0].resource.birthDate", has_paths=True)),
    (issue(expression=["Observation.component[2].valueQuantity.code"]), Refusal(": error invalid at Observation.component[2].valueQuantity.code", has_paths=True)),
    (issue(location=["/f:Patient/f:name[1]"]), Refusal(": error invalid at /f:Patient/f:name[1]", has_paths=True)),
    (issue(location=["Line[1] Col[234]"]), Refusal(": error invalid at Line[1] Col[234]", has_paths=True)),
    (issue(expression=["Patient.name.where(family='x')"]), Refusal(": error invalid", has_paths=True)),
    (issue(expression=["Patient.mary"]), Refusal(": error invalid", has_paths=True)),
    (issue(expression=["", "Patient..name", "Patient.id", "x" * 300]), Refusal(": error invalid at Patient.id", has_paths=True)),
    (issue(expression="Patient"), Refusal(": error invalid")),
    (issue(expression=7), Refusal(": error invalid")),
    (issue(expression=[f"Patient.name[{n}]" for n in range(8)]), Refusal(f": error invalid at {', '.join(f'Patient.name[{n}]' for n in range(5))}, and 3 more", has_paths=True)),
    (outcome({"severity": "error", "code": "conflict"}, {"severity": "warning", "code": "value"}), Refusal(": error conflict; warning value")),
    (outcome(*[{"severity": "error", "code": "value"}] * 1000), Refusal(": error value")),
    (outcome(*[{"code": code} for code in ("value", "invalid", "required", "login", "unknown", "deleted", "timeout")]), Refusal(": value; invalid; required; login; unknown; and 2 more")),
    (issue(diagnostics="HAPI-1094: Resource ImagingStudy/7 not found, HAPI-1094"), Refusal(": error invalid HAPI-1094", references=("ImagingStudy/7",))),
    (issue(diagnostics="HAPI-0550: HAPI-0989: HAPI-0550: of HAPI-4711"), Refusal(": error invalid HAPI-0550 HAPI-0989")),
    *((issue(diagnostics=text), Refusal(": error invalid")) for text in ("HAPI-10940: x", "XHAPI-1094: x", "ABC-1094: x", "HAPI-19A0: x", "HAPI-4711", "HAPI-4711 x", "PID HAPI-4711: x", "'HAPI-4711': x", "x: HAPI-4711: x")),
    (issue(diagnostics=["HAPI-1094: x"], details={"text": ["HAPI-1094: x"]}), Refusal(": error invalid")),
    (issue(diagnostics="a reference from DiagnosticReport/2 and List/3, DiagnosticReport/2"), Refusal(": error invalid", references=("DiagnosticReport/2", "List/3"))),
    (issue(diagnostics="Task/5d2f7c9e-0a1b-4c3d-8e9f-001122334455. Flag/66f0a1b2c3d4e5f601234567"), Refusal(": error invalid", references=("Task/5d2f7c9e-0a1b-4c3d-8e9f-001122334455", "Flag/66f0a1b2c3d4e5f601234567"))),
    (issue(diagnostics="Patient/mary, Patient/7-mary, Name/7"), Refusal(": error invalid")),
    (issue(details={"text": "HAPI-0550: of ImagingStudy/7"}), Refusal(": error invalid HAPI-0550", references=("ImagingStudy/7",))),
    (issue(details="ImagingStudy/7"), Refusal(": error invalid")),
]  # fmt: skip


@pytest.mark.parametrize(("content", "read"), REFUSALS, ids=str)
def test_a_refusal(content, read):
    """Codes of the value sets, places and numbers of a checked form; some of them where there are many."""
    assert refusal_of(content) == read


def test_the_elements_are_those_of_what_is_sent():
    """R4's own names, of Bundle, the four resources and their data types; choices of `value` are told apart."""
    names = set()
    sent = ["Bundle", "Patient", "Endpoint", "ImagingStudy", "Observation"]
    for kind in [*sent, "Identifier", "HumanName", "CodeableConcept", "Coding", "Reference", "Quantity", "Annotation", "Meta", "Extension"]:  # fmt: skip
        model = get_fhir_model_class(kind)
        parts = vars(importlib.import_module(model.__module__)).items()
        models = [part for name, part in parts if inspect.isclass(part) and name.startswith(kind)]
        names |= {field.alias or name for part in models for name, field in part.model_fields.items()}
    names = {name for name in names if name.isalpha() and not name.startswith("value")} - {"resourceType"}
    assert names <= ELEMENTS


NAME, ID, BORN = "Plantagenet", "PID-4711", "19010203"
PLANTED = [
    NAME, NAME.lower(), f"{NAME}^Geoffrey", f"error {NAME}", ID, BORN, "1901-02-03", f"{ID}|{BORN}", f"Patient/{NAME}",
    f"Patient/{ID}", f"Patient.{NAME.lower()}", f"Patient.name.where(family='{NAME}')", f"Patient.{ID}", f"Patient[{NAME}]",
    f"Bundle.entry[0].resource/*Patient/{NAME}*/.name", f"Bundle.entry[0].resource.ofType({NAME})", f"/f:Patient/f:{NAME}",
    f"Line[1] Col[2] {NAME}", f"HAPI-{NAME}", f"HAPI-1094: {NAME}", "HAPI-4711", "no HAPI-4711: x", "HAPI-1094: HAPI-4711 x", "x 'HAPI-4711'", f"Observation.value{NAME}", f"Patient.name\n{NAME}",
    {NAME: NAME}, [NAME], [f"Patient.{ID}"],
]  # fmt: skip
FIELDS = ["severity", "code", "expression", "location", "diagnostics", "details", "text", "coding", "id", "extension"]


def planted():
    """Outcomes with a value in each of their fields, alone and in a list; and answers that are none."""
    for value, field in itertools.product(PLANTED, FIELDS):
        coding = [{"system": value, "code": value, "display": value}]
        inside = {"text": {"details": {"text": value}}, "coding": {"details": {"coding": coding, "text": value}}}
        sound = {"severity": "error", "code": "processing"}
        yield outcome(sound | inside.get(field, {field: value}))
        yield outcome(sound | inside.get(field, {field: [value, value]}))
        yield {**outcome(value), field: value}
    for value in PLANTED:
        yield {**outcome(dict.fromkeys(FIELDS, value)), "text": {"div": value}, "id": value}
        yield {"resourceType": value, "issue": [{"severity": value}]}
        yield value


def leaks(told):
    said = str(told).casefold()
    return [one for one in (NAME, "Geoffrey", "4711", BORN, "1901-02-03") if one.casefold() in said]


@pytest.mark.parametrize("status", [400, 404, 409, 412, 413, 422, 429, 500, 503])
def test_nothing_of_a_patient_comes_through(status):
    """Whatever field of whatever answer it stands in: of a transaction or of a search."""
    answers = [answer(body, status=status, Warning=NAME, Location=f"Patient/{NAME}") for body in planted()]
    assert len(answers) > 500
    told = [str(fault_of("FHIR server", one, sent=sent)) for one in answers for sent in (None, 2)]
    assert all(f"status {status}" in one for one in told)
    assert leaks(told) == []


@pytest.mark.parametrize("status", [400, 409, 503])
def test_nor_into_rows_and_log_lines(status, caplog):
    """A study that the server refuses, or fails: its row and what the tick logs."""
    caplog.set_level(logging.DEBUG)
    for body in itertools.islice(planted(), 0, None, 40):
        errors = FakeErrors()
        fault = fault_of("FHIR server", answer(body, status=status), sent=3)
        fakes = ports(feed=FakeFeed([entry()]), fhir=FakeFhir(faults=[fault] * 99), errors=errors)
        run_batch(fakes, BatchOptions(MappingOptions("https://dicom.example.org"), size=10, total_retry_seconds=0))
        rows = [*errors.rows, *errors.waiting.values()]
        assert rows
        assert leaks([row.message for row in rows]) == []
    assert leaks(caplog.text) == []
