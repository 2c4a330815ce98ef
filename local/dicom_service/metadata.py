"""Converts a pydicom dataset to DICOM JSON (PS3.18 Annex F); an element that cannot be converted is left out."""

import logging
import math
import struct
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.errors import BytesLengthException
from pydicom.tag import BaseTag

Attribute = dict[str, Any]
"""One element of DICOM JSON: `vr` and, unless it is empty, `Value` or `InlineBinary`."""

BULK_DATA_THRESHOLD = 1024
"""Binary values longer than this, in bytes, are left out."""

PYDICOM_FAULTS = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom's reader, converters and JSON model raise for invalid bytes."""

_BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_VRS_OF_THE_DATASET = frozenset({None, "SQ", "UN"})
_FILE_META_GROUP = 0x0002
_SPECIFIC_CHARACTER_SET = "00080005"
_UTF_8: Attribute = {"vr": "CS", "Value": ["ISO_IR 192"]}

log = logging.getLogger(__name__)


def dicom_json(dataset: Dataset) -> dict[str, Attribute]:
    """The dataset's attributes by tag, in the order of tags, without file meta, group lengths and bulk data.

    All text is UTF-8, and SpecificCharacterSet says so.
    """
    return _in_tag_order(_attributes(dataset) | {_SPECIFIC_CHARACTER_SET: _UTF_8})


def _attributes(dataset: Dataset) -> dict[str, Attribute]:
    attributes = {}
    for tag in list(dataset.keys()):
        group, element = divmod(int(tag), 0x10000)
        if element == 0 or group <= _FILE_META_GROUP:
            continue
        attribute = _attribute(dataset, tag)
        if attribute is not None:
            attributes[f"{group:04X}{element:04X}"] = attribute
    if _SPECIFIC_CHARACTER_SET in attributes:
        attributes[_SPECIFIC_CHARACTER_SET] = _UTF_8
    return attributes


def _in_tag_order(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    return dict(sorted(attributes.items()))


def _attribute(dataset: Dataset, tag: BaseTag) -> Attribute | None:
    """The element as DICOM JSON; None if it is bulk data or cannot be converted."""
    raw = dataset.get_item(tag, keep_deferred=True)
    try:
        return _converted(_element(dataset, tag, raw))
    except PYDICOM_FAULTS as error:
        attribute = _number_strings(raw) if isinstance(raw, RawDataElement) else None
        if attribute is None:
            log.info("left out %s: %s", tag, type(error).__name__)
        return attribute


def _element(dataset: Dataset, tag: BaseTag, raw: DataElement | RawDataElement | None) -> DataElement:
    """`dataset[tag]`, in two thirds of the time if the VR does not depend on another element."""
    if isinstance(raw, RawDataElement) and raw.VR not in _VRS_OF_THE_DATASET:
        return convert_raw_data_element(raw, encoding=dataset.original_character_set, ds=dataset)
    return dataset[tag]


def _converted(element: DataElement) -> Attribute | None:
    vr = str(element.VR)
    if vr == "SQ":
        items = [_in_tag_order(_attributes(item)) for item in element.value]
        return {"vr": vr, "Value": items} if items else {"vr": vr}
    if vr in _BINARY_VRS and not element.is_empty and len(element.value) > BULK_DATA_THRESHOLD:
        return None
    attribute = element.to_json_dict(bulk_data_element_handler=None, bulk_data_threshold=BULK_DATA_THRESHOLD)
    if len(vr) != len("VR"):
        raise ValueError(f"ambiguous VR {vr}")
    if "Value" in attribute:
        attribute["Value"] = [_value(value) for value in attribute["Value"]]
    return attribute


def _value(value: Any) -> Any:
    """The value as JSON has it. An empty one is null (PS3.18 F.2.5). Raises ValueError for NaN and infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a finite number")
    if isinstance(value, dict):
        return {group: name for group, name in value.items() if name} or None
    return None if value == "" else value


def _number_strings(element: RawDataElement) -> Attribute | None:
    """An IS or DS element some of whose values are not numbers: these stay strings (PS3.18 table F.2.3-1).

    None for other VRs, and if the element is empty.
    """
    try:
        vr = element.VR or dictionary_VR(element.tag)
    except KeyError:
        return None
    if vr not in ("IS", "DS") or not element.value:
        return None
    values = element.value.decode("latin-1").rstrip("\0 ").split("\\")
    return {"vr": vr, "Value": [_number(vr, value.strip()) for value in values]}


def _number(vr: str, text: str) -> int | float | str | None:
    try:
        number = int(text) if vr == "IS" else float(text)
    except ValueError:
        return text or None
    return number if math.isfinite(number) else text
