"""A table that an operator has deleted is made anew by whatever first finds it missing, and by nothing else."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from shared.clients.azure.tables import Table

ROW = {"PartitionKey": "P", "RowKey": "R"}
ON_TABLES = {
    "get_entity": lambda table: table.get_entity("P", "R"),
    "create_entity": lambda table: table.create_entity(ROW),
    "update_entity": lambda table: table.update_entity(ROW),
    "upsert_entity": lambda table: table.upsert_entity(ROW),
    "delete_entity": lambda table: table.delete_entity(ROW),
    "submit_transaction": lambda table: table.submit_transaction([("upsert", ROW)]),
}
IN_WORDS = 'The table specified does not exist.\n{"odata.error":{"code":"TableNotFound"}}'


def fault(said, status=404, code=None):
    """As the SDK raises it: of an insert it sets no `error_code`, and the service's own stands in the words."""
    error = ResourceNotFoundError(said)
    error.status_code = status
    if code:
        error.error_code = code
    return error


class Client:
    """A table's client of the SDK, in whose place each call raises the next of the `faults`, until there is none."""

    def __init__(self, *faults, is_there=False):
        self.faults, self.is_there, self.made, self.calls = list(faults), is_there, 0, 0

    def create_table(self):
        self.made += 1
        if self.is_there:
            raise ResourceExistsError("TableAlreadyExists")

    def query_entities(self, query, **options):
        yield self._answer(query)

    def __getattr__(self, name):
        if name not in ON_TABLES:
            raise AttributeError(name)
        return self._answer

    def _answer(self, *_row, **_options):
        self.calls += 1
        if self.faults:
            raise self.faults.pop(0)
        return "done"


FAULTS = [
    # what the SDK raises, whether it is that the table is gone
    (fault("gone", code="TableNotFound"), True),
    (fault(IN_WORDS), True),  # an insert's
    (fault("no such row", code="ResourceNotFound"), False),
    (fault("no such row, of the table TableNotFound", code="ResourceNotFound"), False),
    (fault("nothing here"), False),
    (fault(IN_WORDS, status=409), False),
    (fault("being deleted", status=409, code="TableBeingDeleted"), False),
]


@pytest.mark.parametrize("name", ON_TABLES)
@pytest.mark.parametrize(("error", "is_made"), FAULTS, ids=[f"{one.status_code} {one}"[:40] for one, _ in FAULTS])
def test_what_finds_its_table_missing_makes_it_and_is_done(name, error, is_made):
    """Once; where it is the row that is missing, or storage says something else, nothing is made."""
    client = Client(error)
    if is_made:
        ON_TABLES[name](Table(client))
    else:
        with pytest.raises(HttpResponseError) as caught:
            ON_TABLES[name](Table(client))
        assert caught.value is error
    assert (client.made, client.calls) == (int(is_made), 1 + is_made)


def test_another_host_has_made_it_meanwhile():
    """That it is there is what was wanted."""
    client = Client(fault(IN_WORDS), is_there=True)
    assert Table(client).create_entity(ROW) == "done"


def test_a_table_that_is_missing_still_is_an_error():
    """It is made once, and not in a loop: Azure lets go of a deleted table's name after a while only."""
    client = Client(fault(IN_WORDS), fault(IN_WORDS))
    with pytest.raises(ResourceNotFoundError):
        Table(client).create_entity(ROW)
    assert (client.made, client.calls) == (1, 2)


@pytest.mark.parametrize(("error", "is_made"), FAULTS, ids=[f"{one.status_code} {one}"[:40] for one, _ in FAULTS])
def test_a_question_to_a_table_that_is_missing_finds_nothing(error, is_made):
    """It is made, and empty."""
    client = Client(error)
    if is_made:
        assert list(Table(client).query_entities("PartitionKey eq 'P'")) == []
    else:
        with pytest.raises(HttpResponseError):
            list(Table(client).query_entities("PartitionKey eq 'P'"))
    assert client.made == int(is_made)
