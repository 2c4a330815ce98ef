"""Links that a FHIR server sends: resolved by RFC 3986, and followed only on the server's own origin.

Each request carries a token, and its query may hold a PatientID, so no request goes to another host. A server behind a
proxy may use its inner address in links. If such a link lies under its inner base URL or under the base URL of the
settings, the same path is requested under the latter.
"""

import re
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from shared.errors import PagingError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ESCAPED_DOT = re.compile("%2e", re.IGNORECASE)
"""The HTTP library takes this for a dot."""


def followed(base: str, asked: str, link: str, inner_base: str | None = None) -> str:
    """The URL to request. `base` is the server's URL in the settings, `asked` the URL whose answer had the link.

    `inner_base`: the server's URL in its CapabilityStatement. Raises PagingError.
    """
    try:
        target = urlsplit(urljoin(asked, link))
        origin = _origin(target)
        path = _ESCAPED_DOT.sub(".", target.path)
        path = path and urlsplit(urljoin(base, path)).path  # without `..`
    except ValueError:
        raise PagingError("a link to the next page is no URL") from None
    own, inner = urlsplit(base), _inner(inner_base, base)
    is_inner = origin == _origin(inner) != _origin(own)
    served_under = (inner.path, own.path) if is_inner else (own.path, inner.path)
    for served in served_under if target.scheme in _DEFAULT_PORTS else ():
        under = served.rstrip("/")
        if path == under or path.startswith(f"{under}/"):
            below = path.removeprefix(under)
            return urlunsplit((own.scheme, own.netloc, own.path.rstrip("/") + below, target.query, ""))
    raise PagingError(
        f"a link to the next page leads to {target.scheme}://{target.hostname}, and not to {base}: it is not followed;"
        " set the public base URL in the FHIR server, or let its proxy pass X-Forwarded-Host and X-Forwarded-Proto on"
    )


def _inner(inner_base: str | None, base: str) -> SplitResult:
    """The server's URL in its CapabilityStatement, or `base` if it has none that can be read."""
    try:
        inner = urlsplit(inner_base or base)
        _origin(inner)
    except ValueError:
        return urlsplit(base)
    return inner


def _origin(url: SplitResult) -> tuple[str, str, int | None]:
    return url.scheme.lower(), (url.hostname or "").lower(), url.port or _DEFAULT_PORTS.get(url.scheme.lower())
