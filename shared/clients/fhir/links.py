"""Links that a FHIR server sends: resolved as RFC 3986 says, and followed on its own origin only.

A token goes with each request, and a query may hold a PatientID: neither is given to another host. Behind a proxy a
server may name itself by an inner address; what lies under its base there, or under ours, is asked of ours instead.
"""

from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from shared.errors import PagingError

_DEFAULT_PORTS = {"http": 80, "https": 443}


def followed(base: str, asked: str, link: str, inner_base: str | None = None) -> str:
    """The URL to ask for. `base` is the server's URL, `asked` the one whose answer had the link.

    `inner_base`: what the server calls itself in its CapabilityStatement. Raises PagingError.
    """
    try:
        target = urlsplit(urljoin(asked, link))
        origin = _origin(target)
        inner = urlsplit(inner_base or base)
    except ValueError:
        raise PagingError("a link to the next page is no URL") from None
    own = urlsplit(base)
    if target.username is not None or target.password is not None:
        raise PagingError("a link to the next page carries a user name: it is not followed")
    if origin == _origin(own):
        return urlunsplit((own.scheme, own.netloc, target.path, target.query, ""))
    served_at = (inner.path, own.path) if origin == _origin(inner) else (own.path, inner.path)
    for served in served_at:
        if target.path == served or target.path.startswith(served.rstrip("/") + "/"):
            path = own.path + target.path.removeprefix(served.rstrip("/"))
            return urlunsplit((own.scheme, own.netloc, path, target.query, ""))
    raise PagingError(
        f"a link to the next page leads to {target.scheme}://{target.hostname}, and not to {base}: it is not followed;"
        " set the public base URL in the FHIR server, or let its proxy pass X-Forwarded-Host and X-Forwarded-Proto on"
    )


def _origin(url: SplitResult) -> tuple[str, str, int | None]:
    return url.scheme.lower(), (url.hostname or "").lower(), url.port or _DEFAULT_PORTS.get(url.scheme.lower())
