"""The FHIR server of the model: transactions as R4 says, no id is ever given twice, others write too."""

import copy
from collections import Counter

from shared.errors import ConflictError, FhirRefusedError, TransientError
from shared.model.fhir import Written
from tests.fakes import FakeFhir, _resolve, is_of_endpoint


class ModelFhir(FakeFhir):
    """`writes` are those that changed something, as lines to read. `sick`: texts whose transactions fail for a while;
    `refused`: those whose transactions are refused. `is_touched`: others have written."""

    def __init__(self):
        super().__init__()
        self._ids = Counter()
        self.writes = []
        self.sick = set()
        self.refused = set()
        self.is_touched = False

    def transact(self, bundle):
        self.calls += 1
        said = repr(bundle)
        if not is_of_endpoint(bundle):
            if any(text in said for text in self.sick):
                raise TransientError("FHIR server: 503", status=503)
            if any(text in said for text in self.refused):
                raise FhirRefusedError("FHIR server: 422")
        before, ids, new = list(self.resources), {}, []
        try:
            written = [self._applied(one, ids, new) for one in copy.deepcopy(bundle["entry"])]
        except ConflictError:
            self.resources[:] = before  # all or nothing
            raise
        for resource in new:
            _resolve(resource, ids)
        self.writes += [
            f"{one['request']['method']} {told.reference}" for one, told in zip(bundle["entry"], written, strict=True)
        ]
        return written

    def _applied(self, one, ids, new):
        request = one["request"]
        if request["method"] == "POST":
            found = self.found(request["url"], request["ifNoneExist"])
            if len(found) > 1:
                raise ConflictError("412")
            if found:
                ids[one["fullUrl"]] = f"{request['url']}/{found[0]['id']}"
                return Written(created=False, reference=ids[one["fullUrl"]], version=None)
            self._ids[request["url"]] += 1
            number = self._ids[request["url"]]
            resource = one["resource"] | {
                "id": str(number),
                "meta": one["resource"].get("meta", {}) | {"versionId": "1"},
            }
            ids[one["fullUrl"]] = f"{request['url']}/{number}"
            self.resources.append(resource)
            new.append(resource)
            return Written(created=True, reference=ids[one["fullUrl"]], version="1")
        held = self.held(request["url"])
        if held is None or request["ifMatch"] != f'W/"{held["meta"]["versionId"]}"':
            raise ConflictError("412")
        version = str(int(held["meta"]["versionId"]) + 1)
        self.resources.remove(held)
        if request["method"] == "PUT":
            resource = one["resource"] | {"meta": one["resource"]["meta"] | {"versionId": version}}
            self.resources.append(resource)
            new.append(resource)
        return Written(created=False, reference=request["url"], version=version)

    def held(self, reference):
        return next((one for one in self.resources if f"{one['resourceType']}/{one['id']}" == reference), None)

    def of_type(self, resource_type):
        return [one for one in self.resources if one["resourceType"] == resource_type]

    def written_by_others(self, resource):
        """Another system replaces a resource."""
        self.is_touched = True
        held = self.held(f"{resource['resourceType']}/{resource['id']}")
        self.resources.remove(held)
        version = str(int(held["meta"]["versionId"]) + 1)
        self.resources.append(resource | {"meta": held["meta"] | {"versionId": version}})
