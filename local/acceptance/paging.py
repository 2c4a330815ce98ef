"""Describes how a server writes the link to a search's next page."""

from urllib.parse import urlsplit


def next_link_shape(base: str, link: str) -> str:
    """The link in a few words, without the values of its query. `base`: the server's base URL."""
    ours, theirs = urlsplit(base), urlsplit(link)
    first = theirs.query.partition("=")[0]
    query = f"?{first}=…" if first else ""
    if not theirs.scheme and not theirs.netloc:
        kind = "an absolute path" if theirs.path.startswith("/") else "a relative path"
        return f"{kind if theirs.path else 'a query alone'}, {query}"
    if theirs.path.startswith(ours.path):
        below = theirs.path.removeprefix(ours.path)
        shape = f"<base>{below}{query}"
    else:
        shape = f"a path that is not below the base's, {query}"
    same = (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)
    return shape if same else f"{shape}, on another origin ({theirs.scheme}://{theirs.netloc})"
