"""The life of a study under a table with two more rows, told as JSON; `test_added_row.py` runs it on a copy."""

import json
from dataclasses import replace

from shared.mapping.authored import rule_broken
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import StudyMapper
from shared.model.change_feed import Action
from shared.sync.queue.study import StudySync
from shared.sync.read.plan import Study
from tests.fakes import STUDY, FakeArchive, FakeFhir, entry, ports

OPTIONS = MappingOptions("https://dicom.example.org")


def referenced(uid):
    return {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [uid]}}]} if uid else None


def said(sequence, action=Action.CREATE, instance="1.2.1", title=None, reference=None):
    made = entry(sequence, action, instance=instance)
    more = {"00420010": title and {"vr": "ST", "Value": [title]}, "00081110": referenced(reference)}
    return replace(made, metadata={**made.metadata, **{tag: element for tag, element in more.items() if element}})


class World:
    def __init__(self):
        self.archive, self.fhir = FakeArchive(), FakeFhir()
        self.sync = StudySync(ports(fhir=self.fhir, archive=self.archive), OPTIONS)

    def run(self, *entries, holds):
        self.archive.studies = {STUDY: list(holds)}
        (outcome,) = self.sync.run_all([Study(list(entries))])
        return outcome

    @property
    def study(self):
        (study,) = [one for one in self.fhir.resources if one["resourceType"] == "ImagingStudy"]
        return study


def life():
    world = World()
    first, second = said(1, title="Report", reference="1.9.1"), said(2, instance="1.2.2", reference="1.9.1")
    world.run(first, second, holds=[first, second])
    yield "created", json.loads(json.dumps(world.study))
    yield "again", world.run(first, second, holds=[first, second]).wrote
    world.study["reasonReference"].insert(0, {"display": "of another"})
    first = said(3, Action.UPDATE, title="Addendum", reference="1.9.2")
    second = said(4, Action.UPDATE, instance="1.2.2", reference="1.9.2")
    world.run(first, second, holds=[first, second])
    yield "updated", json.loads(json.dumps(world.study))
    first, second = said(5, Action.UPDATE), said(6, Action.UPDATE, instance="1.2.2")
    world.run(first, second, holds=[first, second])
    yield "untitled", json.loads(json.dumps(world.study))
    world.run(replace(said(7, Action.DELETE), metadata=None), holds=[second])
    yield "deleted", json.loads(json.dumps(world.study))
    mapped = StudyMapper(OPTIONS).map(said(9, instance="1.2.9", title="A" * 1025))
    yield "faults", [str(fault) for fault in mapped.faults]
    yield "invalid", {"series": [{"instance": [dict(mapped.instance.set)]}]}
    yield "rule", rule_broken("ImagingStudy.series.instance", "title", 7)


print(json.dumps(dict(life())))
