"""A study's page as JSON."""

import json
from decimal import Decimal

from shared.mapping.differences import ElementChange
from shared.sync.status.study_view import ResourceChange, StudyView
from shared.web.as_json import study_json
from shared.web.responses import json_response
from tests.fakes import NOW


def test_a_change_of_a_dose_is_told():
    """FHIR's decimals have their digits within the app; the page has the numbers."""
    dose = ElementChange("component", [{"valueQuantity": {"value": Decimal("1.10")}}], Decimal("2.5"))
    changes = [ResourceChange("PUT", "Observation/7", (dose,))]
    view = StudyView("1.2", "Microsoft.Default", NOW, True, True, (), (), (), changes)
    (told,) = json.loads(json_response(study_json(view)).get_body())["changes"]
    assert told["elements"] == [{"path": "component", "before": [{"valueQuantity": {"value": 1.1}}], "after": 2.5}]
