"""A stand-in for the part of Azure CLI that the runbook uses: it takes the real arguments, and works on Azurite."""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NoReturn

from azure.core.exceptions import AzureError, ResourceExistsError
from azure.data.tables import EdmType, TableServiceClient, UpdateMode
from azure.storage.blob import BlobLeaseClient, BlobServiceClient

ACCOUNT = "devstoreaccount1"
TYPE = "@odata.type"
KEYS = ("PartitionKey", "RowKey")


class UsageError(Exception):
    """What Azure CLI would not take."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


class AzureCli:
    """`az` for one storage account."""

    def __init__(self, connection: str) -> None:
        self._tables = TableServiceClient.from_connection_string(connection)
        self._blobs = BlobServiceClient.from_connection_string(connection)

    def run(self, words: Sequence[str]) -> Any:
        """What is printed as JSON. Raises UsageError, AzureError."""
        size = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
        command = " ".join(words[:size])
        if command not in _COMMANDS:
            raise UsageError(f"'{command}' is misspelled or not recognized by the system")
        options, work = _COMMANDS[command]
        parser = _Parser(prog=f"az {command}", allow_abbrev=False)
        parser.add_argument("--auth-mode", choices=["login"], required=True)
        parser.add_argument("--account-name", choices=[ACCOUNT], required=True)
        for name, details in options.items():
            parser.add_argument(name, **details)
        return work(self, parser.parse_args(words[size:]))

    def create_table(self, asked: argparse.Namespace) -> Any:
        try:
            self._tables.create_table(asked.name)
        except ResourceExistsError:  # no failure without --fail-on-exist
            return {"created": False}
        return {"created": True}

    def insert(self, asked: argparse.Namespace) -> Any:
        table, row = self._tables.get_table_client(asked.table_name), _row(asked.entity)
        if asked.if_exists == "fail":
            return table.create_entity(row)
        return table.upsert_entity(row, mode=UpdateMode(asked.if_exists))

    def merge(self, asked: argparse.Namespace) -> Any:
        return self._update(asked, UpdateMode.MERGE)

    def replace(self, asked: argparse.Namespace) -> Any:
        return self._update(asked, UpdateMode.REPLACE)

    def break_lease(self, asked: argparse.Namespace) -> Any:
        return BlobLeaseClient(self._blobs.get_blob_client(asked.container_name, asked.blob_name)).break_lease()

    def _update(self, asked: argparse.Namespace, mode: UpdateMode) -> Any:
        """Azure refuses where there is no such row; Azurite is asked first, so as not to rest on its manners."""
        table, row = self._tables.get_table_client(asked.table_name), _row(asked.entity)
        table.get_entity(row["PartitionKey"], row["RowKey"])
        return table.update_entity(row, mode=mode)


_ENTITY: dict[str, dict[str, Any]] = {
    "--table-name": {"required": True},
    "--entity": {"nargs": "+", "required": True},
}
_COMMANDS: dict[str, tuple[dict[str, dict[str, Any]], Any]] = {
    "storage table create": ({"--name": {"required": True}}, AzureCli.create_table),
    "storage entity insert": (
        {**_ENTITY, "--if-exists": {"choices": ["fail", "merge", "replace"], "default": "fail"}},
        AzureCli.insert,
    ),
    "storage entity merge": (_ENTITY, AzureCli.merge),
    "storage entity replace": (_ENTITY, AzureCli.replace),
    "storage blob lease break": (
        {"--container-name": {"required": True}, "--blob-name": {"required": True}},
        AzureCli.break_lease,
    ),
}


def _row(words: Sequence[str]) -> dict[str, Any]:
    """`name=value` words: what looks like a number becomes one (but 0), unless a type is given."""
    if wrong := [word for word in words if "=" not in word]:
        raise UsageError(f"name=value is expected: {wrong}")
    given = dict(word.split("=", 1) for word in words)
    if missing := [key for key in KEYS if key not in given]:
        raise UsageError(f"incorrect usage: entity requires: {missing}")
    return {name: _value(name, text, given.get(name + TYPE)) for name, text in given.items() if TYPE not in name}


def _value(name: str, text: str, edm_type: str | None) -> Any:
    if edm_type:
        return (text, EdmType(edm_type))
    if name in KEYS:
        return text
    for number in (int, float):
        try:
            if value := number(text):
                return value
        except ValueError:
            continue
    return text


@contextmanager
def served(cli: AzureCli) -> Iterator[str]:
    """The URL of `az`: its words are POSTed, each ended by NUL; 400 is a failure. A shell need not start a Python."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            words = self.rfile.read(int(self.headers["Content-Length"])).decode().split("\0")[:-1]
            try:
                status, said = 200, json.dumps(cli.run(words), default=str)
            except (UsageError, AzureError) as error:
                status, said = 400, f"ERROR: {error}"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(f"{said}\n".encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
