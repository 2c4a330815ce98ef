"""What Patients should say: of each patient the feed's last word, as far as the app can have seen it."""

from collections import defaultdict
from dataclasses import dataclass

from shared.mapping.converters import GENDERS
from shared.mapping.patient_id import patient_identifier
from shared.model.options import PatientUpdatePolicy
from tests.model.oracle import PATIENT_TAGS, ViolatedError, identities, text


@dataclass
class Word:
    """What an entry said of its patient; `certain`: of an instance that was there, in a tick that synced it.

    `is_forgotten`: the instance was gone when a host began, which knows of the word from FHIR alone.
    """

    order: tuple[int, int]
    said: dict
    certain: bool
    key: tuple[str, str, str, str]
    is_forgotten: bool = False


class PatientWords:
    """By patient. `mixed`: those of whom, or beside whom, instances of one study have said different things."""

    def __init__(self, options):
        self._options = options
        self._words = {}
        self._read = []
        self._recalled = []
        self._made = {}
        self._held = defaultdict(list)
        self.mixed = set()

    def read(self, entries, is_replayed):
        """Entries that the feed has given out, and whose tick has not ended."""
        self._read += [(len(self._read), entry, is_replayed) for entry in entries if entry.metadata]

    def tick_ended(self, is_done, held, failed, settling):
        """`held`: the archive's instances, `failed`: those with an open row. Of what only a replay reads nothing is
        certain: it fills. `settling`: sequences of entries that the host keeps in memory, for a tick to come.

        Entries under UIDs that an update has taken away still say `current`: a new host takes what they say for written.
        A word that is forgotten need not stand against one that is taken from then on.
        """
        behind = defaultdict(int)
        for entry in self._recalled:
            if (entry.partition, *_uids(entry)) not in held:
                patient = self.identity(entry.metadata)
                behind[patient] = max(behind[patient], entry.sequence)
        kept = [one for one in self._read if one[1].sequence in settling and not one[2]]
        newest = defaultdict(int)
        for _, entry, _ in self._read:
            key = entry.partition, *_uids(entry)
            newest[key] = max(newest[key], entry.sequence)
        for view, entry, is_replayed in (one for one in self._read if one not in kept):
            if entry.metadata.get("00080060", {}).get("Value") == ["ct"]:
                continue
            key = entry.partition, *_uids(entry)
            patient = self.identity(entry.metadata)
            certain = is_done and not is_replayed and key in held and key not in failed
            certain &= entry.sequence > behind[patient] and entry.sequence >= newest[key]  # else stored again since
            word = Word((entry.sequence, view), said_of(entry.metadata), certain, key)
            others = self._words.setdefault(patient, [])
            for one in others:
                one.certain &= not (one.is_forgotten and certain and one.order > word.order)
            others.append(word)
        self._read = kept

    def host_begins(self, held):
        """It has read nothing of the feed yet, and the feed does not tell what instances said that are gone."""
        self._recalled = []
        for words in self._words.values():
            for one in words:
                one.is_forgotten |= one.key not in held

    def recalled(self, entries):
        """What a new host has read again for the feed's order alone, because something still waits."""
        self._recalled += [one for one in entries if one.metadata]

    def identity(self, metadata):
        patient, issuer = (_value(metadata, tag) for tag in ("00100020", "00100021"))
        return text(patient_identifier(self._options, patient, issuer))

    def note_held(self, studies):
        """What the archive holds now. A rebuild may read it before the feed gives it out, and fills with it.

        Of a study whose instances disagree nobody can say which of them has the last word.
        """
        for instances in studies.values():
            for one in instances:
                if (said := said_of(one.metadata)) not in (held := self._held[self.identity(one.metadata)]):
                    held.append(said)
            if len({one.says(PATIENT_TAGS) for one in instances}) > 1:
                self.mixed |= {self.identity(one.metadata) for one in instances}

    def check(self, fhir):
        policy = self._options.patient_update_policy
        found = {}
        for patient in fhir.of_type("Patient"):
            (identity,) = identities(patient)
            if found.setdefault(identity, patient) is not patient:
                raise ViolatedError("I5", f"two Patients of {identity}")
        for identity, patient in found.items():
            said = {"name": _family(patient), "gender": patient.get("gender"), "birthDate": patient.get("birthDate")}
            before = self._made.setdefault(patient["id"], said)
            for element, value in said.items():
                is_kept = element == "birthDate" or policy is not PatientUpdatePolicy.OVERWRITE
                if is_kept and before[element] is not None and before[element] != value:
                    raise ViolatedError(
                        _rule(element), f"Patient {identity}: {element} was {before[element]}, is {value}"
                    )
            self._made[patient["id"]] = said
            if identity not in self.mixed:
                self._check_words(identity, said, policy)

    def _check_words(self, identity, said, policy):
        if policy is PatientUpdatePolicy.NEVER:
            return
        for element, value in said.items():
            wanted = self._wanted(
                identity, element, last=policy is PatientUpdatePolicy.OVERWRITE and element != "birthDate"
            )
            if value not in wanted:
                raise ViolatedError(
                    _rule(element), f"Patient {identity}: {element} is {value}, not {' or '.join(map(str, wanted))}"
                )

    def _wanted(self, identity, element, *, last):
        """The last word on it, or any; before the last that is certain all that may have come are good too.

        What was said in no tick that is certain may never have come: its instance may be gone by now.
        """
        wanted, is_certain = [], False
        for word in sorted(self._words.get(identity, []), key=lambda one: one.order, reverse=True):
            if (value := word.said.get(element)) is not None:
                wanted.append(value)
                is_certain |= word.certain
                if last and word.certain:
                    return wanted
        wanted += [said[element] for said in self._held[identity] if said[element] is not None]
        return wanted if is_certain else [*wanted, None]


def _uids(entry):
    return entry.study_instance_uid, entry.series_instance_uid, entry.sop_instance_uid


def _rule(element):
    return "birth date" if element == "birthDate" else "I5"


def said_of(metadata):
    day = _value(metadata, "00100030")
    name = (metadata.get("00100010", {}).get("Value") or [{}])[0].get("Alphabetic")
    return {
        "name": name.split("^")[0] if name else None,
        "gender": GENDERS.get(_value(metadata, "00100040")),
        "birthDate": f"{day[:4]}-{day[4:6]}-{day[6:]}" if day else None,
    }


def _value(metadata, tag):
    return (metadata.get(tag, {}).get("Value") or [None])[0]


def _family(patient):
    return next((name.get("family") for name in patient.get("name", []) if name.get("use") == "usual"), None)
