"""An HTTP service that answers by a script."""

import json
from urllib.parse import urlsplit

from shared.clients.http_answer import Answer

BASE = "http://fhir.example.org/r4"


def answer(body=None, status=200, **headers):
    """With a body of JSON; `headers` with underscores for hyphens."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


class Request:
    """One that was sent. `path` is below the base."""

    def __init__(self, method, path, body, headers):
        self.method, self.path, self.headers = method, path.removeprefix(BASE), headers
        self.text = body.decode() if body else ""

    @property
    def body(self):
        return json.loads(self.text)

    @property
    def is_batch(self):
        return self.text.startswith("{") and self.body["type"] == "batch"

    @property
    def name(self):
        """The method and what it is asked of, without a query."""
        return f"{self.method} {urlsplit(self.path).path}"


class FakeHttp:
    """`respond(request)` gives the answer; `asked` grows with each request."""

    name, url, quickest = "FHIR server", BASE, 0.0

    def __init__(self, respond):
        self._respond = respond
        self.asked = []

    @property
    def calls(self):
        return len(self.asked)

    def send(self, method, path, *, params=None, body=None, headers=None):
        self.asked.append(Request(method, path, body, headers or {}))
        return self._respond(self.asked[-1])
