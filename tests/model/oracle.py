"""What FHIR should say: a fresh sync of what the archive holds now, beside what others wrote; and how it differs."""

import json
from dataclasses import dataclass, field

from shared.model.change_feed import Action, ChangeFeedEntry, State
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from shared.sync.transact.task import StudyResult
from tests.fakes import ports
from tests.model.fhir import ModelFhir
from tests.model.in_process import URL

RECORD = "urn:dicom-cast:last-applied"
LISTS = ("identifier", "note", "procedureCode", "reasonCode", "endpoint", "extension", "modality")
SINGLE = ("status", "started", "description", "referrer", "subject")
OF_SERIES = ("number", "modality", "description", "started", "bodySite")
SIDES = {"R": ("24028007", "Right"), "L": ("7771000", "Left"), "B": ("51440002", "Bilateral")}
STUDY_TAGS = [
    "00080020",
    "00080030",
    "00080050",
    "00080090",
    "00080201",
    "00081030",
    "00081032",
    "00100010",
    "00100020",
    "00100021",
    "00100030",
    "00100040",
]
PATIENT_TAGS = [tag for tag in STUDY_TAGS if tag.startswith("0010")]
SERIES_TAGS = [
    "00080060",
    "0008103E",
    "00080021",
    "00080031",
    "00181030",
    "00180015",
    "00200011",
    "00200060",
    "00200062",
    "00081050",
]


class ViolatedError(AssertionError):
    """`rule` is broken: I1, I2, I3, I5, rows, settles."""

    def __init__(self, rule, told):
        self.rule = rule
        super().__init__(f"{rule}: {told}")


@dataclass
class Instance:
    """One that the archive holds: its key, its metadata, and whether it can be mapped."""

    key: tuple[str, str, str, str]
    metadata: dict
    is_valid: bool = field(init=False)

    def __post_init__(self):
        self.is_valid = self.metadata.get("00080060", {}).get("Value") != ["ct"]

    def says(self, tags):
        return repr([self.metadata.get(tag) for tag in tags])


def held_by(archive):
    """All instances of the archive, in the order of their last change, by partition and StudyInstanceUID."""
    studies = {}
    for row in archive.database.rows("SELECT * FROM instance ORDER BY version"):
        one = Instance(tuple(row)[:4], json.loads(row["metadata"]))
        studies.setdefault(one.key[:2], []).append(one)
    return studies


_made = {}
"""Fresh syncs of all lives, which hold much the same; of these at most so many."""
_MOST_MADE = 5000


class Oracle:
    """Fresh syncs, each made once."""

    def __init__(self, options, archive):
        self._options = options
        self._archive = archive

    def fresh(self, instances):
        """What an empty FHIR server holds after a sync of these."""
        key = self._options, repr([(one.key, one.metadata) for one in instances])
        if key not in _made:
            if len(_made) >= _MOST_MADE:
                _made.clear()
            fakes = ports(fhir=ModelFhir(), archive=self._archive)
            study = Study([_entry(one, n) for n, one in enumerate(instances, 1)])
            (result,) = StudySync(fakes, self._options).run_all([study])
            assert isinstance(result, StudyResult), result
            _made[key] = fakes.fhir
        return _made[key]


def _entry(one, sequence):
    partition, study, series, instance = one.key
    at = "2026-01-01T00:00:00.0000000+00:00"
    return ChangeFeedEntry(sequence, study, series, instance, Action.CREATE, State.CURRENT, at, partition, one.metadata)


def studies_of(fhir):
    """ImagingStudies by the identifier that is a StudyInstanceUID: (system, uid); several of one are an error."""
    found = {}
    for one in fhir.of_type("ImagingStudy"):
        own = [i for i in one["identifier"] if str(i.get("value", "")).startswith("urn:oid:")]
        key = own[0].get("system"), own[0]["value"].removeprefix("urn:oid:")
        if key in found:
            raise ViolatedError("I1", f"two ImagingStudies of {key}")
        found[key] = one
    return found


def identities(patient):
    return sorted(text(one) for one in patient["identifier"] if one.get("system") != "urn:others")


def text(value):
    return json.dumps(value, sort_keys=True, default=float)


def plain(fhir, study):
    """The study without what a server adds, references as what they lead to, lists in an order of their own."""
    said = {name: value for name, value in study.items() if name not in ("id", "meta", "resourceType")}
    said["subject"] = _led_to(fhir, said["subject"])
    said["endpoint"] = [_led_to(fhir, one) for one in said.get("endpoint", [])]
    said["extension"] = [one for one in said.get("extension", []) if one["url"] != RECORD]
    said["identifier"] = _identifiers(said)
    for name in LISTS:
        said[name] = sorted(text(one) for one in said.get(name, []))
    series = {one["uid"]: one for one in said.pop("series", [])}
    said["series"] = {
        uid: one
        | {
            "instance": {held["uid"]: held for held in one.get("instance", [])},
            "performer": sorted(text(who) for who in one.get("performer", [])),
            "endpoint": None,
        }
        for uid, one in series.items()
    }
    return said


def _led_to(fhir, reference):
    held = fhir.held(reference["reference"])
    if held is None:
        return reference["reference"]
    if held["resourceType"] == "Patient":
        return identities(held)
    return held.get("name", reference["reference"])


def check_study(oracle, fhir, study, instances, others):
    """I1 and I2 of one study. `others`: what others wrote on it, by element."""
    said = plain(fhir, study)
    alone = [one for one in instances if one.is_valid]
    agree = len({one.says(STUDY_TAGS) for one in alone}) == 1
    rule = "I1" if agree else "I2"
    fresh = [_fresh_study(oracle, alone)] if agree else [_fresh_study(oracle, [one]) for one in alone]
    for name in SINGLE:
        wanted = [one[name] for one in fresh if name in one] or [None]
        if name in others:
            wanted = others[name]
        _expect(rule, f"{name}", said.get(name), wanted)
    for name in set(LISTS) - {"modality"}:
        wanted = {item for one in fresh for item in one[name]} | {
            text(_led_to(fhir, one) if name == "endpoint" else one) for one in others.get(name, [])
        }
        _expect_set(rule, name, said[name], wanted)
    # Of series whose instances disagree, as a new SeriesInstanceUID makes them, each says one modality.
    _expect_set(rule, "modality", said["modality"], {text(one["modality"]) for one in said["series"].values()})
    _check_series(oracle, said, alone, others)


def _check_series(oracle, said, alone, others):
    wanted = {}
    for one in alone:
        wanted.setdefault(one.key[2], []).append(one)
    _expect_set("I1", "series", list(said["series"]), set(wanted))
    for uid, members in wanted.items():
        rule = "I1" if len({one.says(SERIES_TAGS) for one in members}) == 1 else "I2"
        each = [_fresh_study(oracle, [one])["series"][uid] for one in members]
        series = said["series"][uid]
        for name in OF_SERIES:
            _expect(
                rule, f"series {uid}: {name}", series.get(name), [one[name] for one in each if name in one] or [None]
            )
        _expect(rule, f"series {uid}: laterality", series.get("laterality"), _sides(members))
        _expect_set(
            rule, f"series {uid}: performer", series["performer"], {who for one in each for who in one["performer"]}
        )
        listed = {held for one in each for held in map(text, one["instance"].values())}
        _expect_set("I1", f"series {uid}: instance", [text(one) for one in series["instance"].values()], listed)
        _expect("I1", f"series {uid}: numberOfInstances", series.get("numberOfInstances"), [len(members)])
    _expect("I1", "numberOfSeries", said.get("numberOfSeries"), [len(wanted)])
    _expect("I1", "numberOfInstances", said.get("numberOfInstances"), [len(alone)])


def _sides(members):
    """What the series' own word allows; without any the side that each of its images says."""
    of_series, of_images = (
        [one.metadata.get(tag, {}).get("Value", [None])[0] for one in members] for tag in ("00200060", "00200062")
    )
    if not any(of_series):
        of_series = set(of_images) if len(set(of_images)) == 1 else [None]
    coded = [SIDES[one] for one in of_series if one in SIDES]
    return [{"system": "http://snomed.info/sct", "code": code, "display": name} for code, name in coded] or [None]


def _fresh_study(oracle, instances):
    fhir = oracle.fresh(instances)
    (study,) = fhir.of_type("ImagingStudy")
    return plain(fhir, study)


def _expect(rule, name, said, wanted):
    if said not in wanted:
        raise ViolatedError(rule, f"{name} is {said!r}, not {' or '.join(map(repr, wanted))}")


def _expect_set(rule, name, said, wanted):
    if sorted(said) != sorted(wanted):
        more, less = sorted(set(said) - wanted), sorted(wanted - set(said))
        told = f"{name} says {more} too many, {less} not" if more or less else f"{name} says something twice: {said}"
        raise ViolatedError(rule, told)


def check_observations(oracle, fhir, studies):
    """Each report's Observations are those of a fresh sync; there are no others but what is withdrawn."""
    wanted = []
    for instances in studies.values():
        for one in instances:
            if one.is_valid and one.metadata["00080060"].get("Value") == ["SR"]:
                fresh = oracle.fresh([one])
                wanted += [_observation(fresh, held) for held in fresh.of_type("Observation")]
    said = [_observation(fhir, one) for one in fhir.of_type("Observation") if not _is_withdrawn(one)]
    if sorted(said) != sorted(wanted):
        more, less = _multiset(said, wanted), _multiset(wanted, said)
        raise ViolatedError(
            "I1",
            f"Observations: {len(more)} too many: {list(map(_short, more))}; {len(less)} missing: {list(map(_short, less))}",
        )


def _multiset(some, others):
    left = list(others)
    return [one for one in some if not (one in left and not left.remove(one))]


def _is_withdrawn(one):
    return one.get("status") == "entered-in-error" and "derivedFrom" not in one


def _observation(fhir, one):
    said = {name: value for name, value in one.items() if name not in ("id", "meta")}
    said["subject"] = _led_to(fhir, one["subject"])
    for name in ("partOf", "derivedFrom"):
        held = [fhir.held(link["reference"]) for link in one.get(name, [])]
        said[name] = [_uid(study) if study else None for study in held]
    said["extension"] = [ext for ext in one.get("extension", []) if ext["url"] != RECORD]
    said["identifier"] = sorted(text(i) for i in one["identifier"])
    return text(said)


def _uid(study):
    return [text(one) for one in _identifiers(study) if str(one.get("value", "")).startswith("urn:oid:")]


def _identifiers(study):
    """Without the one by which the default partition's is created if another partition has its UID (ADR 38)."""
    return [one for one in study["identifier"] if one.get("system") != URL]


def _short(observation):
    """What tells an Observation of a report in a message."""
    said = json.loads(observation)
    uids = [json.loads(one)["value"] for one in said["identifier"]]
    return (
        f"{said['code']['coding'][0]['code']} of {said['subject']} in {said['derivedFrom']}, {said['status']}, {uids}"
    )
