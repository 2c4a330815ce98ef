"""Reads a STOW-RS body: `multipart/related; type="application/dicom"` (PS3.18 8.6.1.2), or a single file."""

from collections.abc import Iterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header
from starlette.exceptions import HTTPException

from local.dicom_service.parameters import bad_request

_DICOM = b"application/dicom"
_MULTIPART = b"multipart/related"


def dicom_files(content_type: str | None, body: bytes) -> list[bytes]:
    """The files in the body of a store request; none if the body is empty.

    Raises:
        HTTPException: 415 for another media type of the body or of a part, 400 for a malformed body.
    """
    media_type, options = parse_options_header(content_type)
    if media_type not in (_DICOM, _MULTIPART) or options.get(b"type", _DICOM).lower() != _DICOM:
        raise HTTPException(
            415, f'Content-Type must be application/dicom or {_MULTIPART.decode()}; type="application/dicom"'
        )
    if not body:
        return []
    if media_type == _DICOM:
        return [body]
    boundary = options.get(b"boundary")
    if not boundary:
        raise bad_request("the parameter boundary of Content-Type is missing")
    return list(_parts(boundary, body))


def _parts(boundary: bytes, body: bytes) -> Iterator[bytes]:
    collector = _Collector()
    try:
        parser = MultipartParser(boundary, collector.callbacks())  # type: ignore[arg-type]
        parser.write(body)
    except FormParserError as error:
        raise bad_request(f"the multipart body is malformed: {error}") from error
    if parser.state != MultipartState.END:
        raise bad_request("the multipart body ends before its closing boundary")
    for number, (headers, content) in enumerate(collector.parts, start=1):
        part_type, _ = parse_options_header(headers.get(b"content-type", b""))
        if part_type not in (b"", _DICOM):
            raise HTTPException(415, f"the Content-Type of part {number} is not application/dicom")
        yield bytes(content)


class _Collector:
    """Collects what the streaming parser finds: for each part its headers, by lower-case name, and its content."""

    def __init__(self) -> None:
        self.parts: list[tuple[dict[bytes, bytes], bytearray]] = []
        self._name = bytearray()
        self._value = bytearray()

    def callbacks(self) -> dict[str, object]:
        """The functions for the parser to call."""
        return {
            "on_part_begin": lambda: self.parts.append(({}, bytearray())),
            "on_part_data": lambda data, start, end: self.parts[-1][1].extend(memoryview(data)[start:end]),
            "on_header_begin": self._header_begin,
            "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
        }

    def _header_begin(self) -> None:
        self._name.clear()
        self._value.clear()

    def _header_end(self) -> None:
        self.parts[-1][0][bytes(self._name).lower()] = bytes(self._value)
