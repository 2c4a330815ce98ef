"""Value rules by VR: what is read, and which rule is named where it is not."""

from datetime import date, timedelta, timezone
from decimal import Decimal

import pytest
from pydicom._dicom_dict import DicomDictionary

from shared.mapping import dates, names, text, values
from shared.mapping.dates import DateTime, TimeOfDay
from shared.mapping.names import NameGroup, PersonName
from shared.mapping.text import InvalidValueError

LONG_UID = "1." + "2" * 63

READ = [
    # rule                                            parser                  item                expected
    ("a CS is trimmed",                               text.code_string,     " CT ",             "CT"),
    ("a UID loses its NUL",                           text.uid,             "1.2.840\0",        "1.2.840"),
    ("a UID loses its blank",                         text.uid,             "1.2.840 ",         "1.2.840"),
    ("an IS may be a number",                         text.integer_string,  7,                  7),
    ("an IS may be a string",                         text.integer_string,  " +7 ",             7),
    ("an IS may be a whole float",                    text.integer_string,  7.0,                7),
    ("an IS may be negative",                         text.integer_string,  "-7",               -7),
    ("a US may be a number",                          values.parser("", "US"), 65535,            65535),
    ("a US may be a whole float",                     values.parser("", "US"), 7.0,              7),
    ("an SS may be negative",                         values.parser("", "SS"), -32768,           -32768),
    ("what may be US or SS may be either",            values.parser("", "US or SS"), -1,         -1),
    ("a UV of 64 bits may be a string",               values.parser("", "UV"), "18446744073709551615", 18446744073709551615),
    ("an FD is a number",                             values.parser("", "FD"), 0.25,             0.25),
    ("an AS is an age",                               text.age_string,       "018Y",             "018Y"),
    ("an AT is a tag",                                text.tag,              "0020000d",         "0020000D"),
    ("an AE is trimmed",                              values.parser("", "AE"), " STORE ",        "STORE"),
    ("an ST may have lines",                          values.parser("", "ST"), "a\r\nb",         "a\r\nb"),
    ("a DA is a day",                                 dates.calendar_date,   "20040119",         date(2004, 1, 19)),
    ("a legacy DA is a day",                          dates.calendar_date,   "2004.01.19",       date(2004, 1, 19)),
    ("a leap day is a day",                           dates.calendar_date,   "20240229",         date(2024, 2, 29)),
    ("a TM may be an hour",                           dates.time_of_day,     "07",               TimeOfDay(7)),
    ("a TM may be minutes",                           dates.time_of_day,     "0727",             TimeOfDay(7, 27)),
    ("a TM may end at minute 59",                     dates.time_of_day,     "2359",             TimeOfDay(23, 59)),
    ("a TM may be seconds",                           dates.time_of_day,     "072730",           TimeOfDay(7, 27, 30)),
    ("a TM may end at second 59",                     dates.time_of_day,     "235959",           TimeOfDay(23, 59, 59)),
    ("a TM may be midnight",                          dates.time_of_day,     "000000.0",         TimeOfDay(0, 0, 0, 0)),
    ("a fraction of 1 digit is tenths",               dates.time_of_day,     "072730.5",         TimeOfDay(7, 27, 30, 500)),
    ("a fraction of 6 digits is cut to ms",           dates.time_of_day,     "072730.123999",    TimeOfDay(7, 27, 30, 123)),
    ("a TM loses trailing blanks",                    dates.time_of_day,     "072730.10  ",      TimeOfDay(7, 27, 30, 100)),
    ("a legacy TM is a time",                         dates.time_of_day,     "14:04:38",         TimeOfDay(14, 4, 38)),
    ("a legacy TM may be minutes",                    dates.time_of_day,     "14:04",            TimeOfDay(14, 4)),
    ("a legacy TM may have a fraction",               dates.time_of_day,     "14:04:38.25",      TimeOfDay(14, 4, 38, 250)),
    ("an offset may be east",                         dates.utc_offset,      "+0100",            timezone(timedelta(hours=1))),
    ("an offset may be half an hour west",            dates.utc_offset,      "-0330",            timezone(-timedelta(hours=3, minutes=30))),
    ("an offset may be 59 minutes",                   dates.utc_offset,      "+0059",            timezone(timedelta(minutes=59))),
    ("an offset may be +1400",                        dates.utc_offset,      "+1400",            timezone(timedelta(hours=14))),
    ("an offset may be -1200",                        dates.utc_offset,      "-1200",            timezone(-timedelta(hours=12))),
    ("a DS may be text",                              text.decimal_string,  " 1.07E-05",        Decimal("0.0000107")),
    ("a DS without a point is whole",                 text.decimal_string,  "515",              515),
    ("a DS may be longer than 16",                    text.decimal_string,  "0.00015356864017123", Decimal("0.00015356864017123")),
    ("a DS may be a number",                          text.decimal_string,  7.46,               Decimal("7.46")),
    ("a DS of many digits is rounded to 18",          text.decimal_string,  "0.12345678901234567890", Decimal("0.123456789012345679")),
    ("a DT may be whole",                             dates.date_time,      "20240506072103.083003-0400",
     DateTime(date(2024, 5, 6), TimeOfDay(7, 21, 3, 83), timezone(-timedelta(hours=4)))),
    ("a DT may lack its seconds",                     dates.date_time,      "202405060721",     DateTime(date(2024, 5, 6), TimeOfDay(7, 21))),
    ("a DT may be a date",                            dates.date_time,      "20240506",         DateTime(date(2024, 5, 6))),
    ("a PN may be its groups",                        names.person_name,     {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"},
     PersonName(NameGroup("Yamada", "Tarou"), NameGroup("山田", "太郎"), NameGroup("やまだ", "たろう"))),
    ("a PN may be a string with `=`",                 names.person_name,     "A^B=C^D",          PersonName(NameGroup("A", "B"), NameGroup("C", "D"))),
    ("Alphabetic may hold all groups",                names.person_name,     {"Alphabetic": "Roe^Kim=路^金=ろ^きむ"},
     PersonName(NameGroup("Roe", "Kim"), NameGroup("路", "金"), NameGroup("ろ", "きむ"))),
    ("the first of the groups in it may be empty",    names.person_name,     {"Alphabetic": "=路^金=ろ^きむ"},
     PersonName(None, NameGroup("路", "金"), NameGroup("ろ", "きむ"))),
    ("each of the groups in it has five components",  names.person_name,     {"Alphabetic": "Roe^Kim^A^Dr.^MD=路^金"},
     PersonName(NameGroup("Roe", "Kim", "A", "Dr.", "MD"), NameGroup("路", "金"))),
    ("each of the groups in it has 64 characters",    names.person_name,     {"Alphabetic": f"{'A' * 64}={'路' * 64}"},
     PersonName(NameGroup("A" * 64), NameGroup("路" * 64))),
    ("the groups in it may stand beside it too",      names.person_name,     {"Alphabetic": "Roe^Kim=路^金", "Ideographic": "路^金", "Phonetic": "ろ^きむ"},
     PersonName(NameGroup("Roe", "Kim"), NameGroup("路", "金"), NameGroup("ろ", "きむ"))),
    ("a PN has five components",                      names.person_name,     "Adams^John Robert^Quincy^Rev.^B.A. M.Div.",
     PersonName(NameGroup("Adams", "John Robert", "Quincy", "Rev.", "B.A. M.Div."))),
    ("a PN may be one component",                     names.person_name,     "Adams",            PersonName(NameGroup("Adams"))),
    ("a PN may lack the family name",                 names.person_name,     "^John",            PersonName(NameGroup("", "John"))),
    ("blanks inside a PN are one",                    names.person_name,     "Van  Dyke ^ J  R", PersonName(NameGroup("Van Dyke", "J R"))),
    ("a PN of carets says nothing",                   names.person_name,     {"Alphabetic": "^^"}, PersonName()),
]  # fmt: skip

BROKEN = [
    # rule                                            parser                  item                what the error says
    ("a CS has no lower case",                        text.code_string,     "ct",               "only A-Z"),
    ("a CS has 16 characters",                        text.code_string,     "A" * 17,           "longer than 16"),
    ("a US has 16 bits",                              values.parser("", "US"), 65536,            "0 to 65535"),
    ("a US is not negative",                          values.parser("", "US"), -1,               "0 to 65535"),
    ("a US is whole",                                 values.parser("", "US"), 7.5,              "a whole number"),
    ("a US is no truth value",                        values.parser("", "US"), True,             "a whole number"),
    ("an FD is no text",                              values.parser("", "FD"), "NaN",            "a decimal number"),
    ("an AS has a unit",                              text.age_string,       "0180",             "D, W, M, Y"),
    ("an AT has eight digits",                        text.tag,              "0020",             "eight hexadecimal"),
    ("an ST has 1,024 characters",                    values.parser("", "ST"), "A" * 1025,       "longer than 1024"),
    ("a UID has 64 characters",                       text.uid,             LONG_UID,           "longer than 64"),
    ("a UID has no leading zeros",                    text.uid,             "1.02.3",           "leading zeros"),
    ("a UID has no letters",                          text.uid,             "1.2.a",            "digits"),
    ("a UID starts with 0, 1 or 2",                   text.uid,             "3.2.1",            "starts with"),
    ("a UID has two components",                      text.uid,             "1",                "more than one component"),
    ("a UID is a string",                             text.uid,             12,                 "a string"),
    ("an IS has no decimals",                         text.integer_string,  "1.5",              "whole number"),
    ("an IS is no fraction",                          text.integer_string,  1.5,                "whole number"),
    ("an IS is no boolean",                           text.integer_string,  True,               "whole number"),
    ("an IS has 32 bits",                             text.integer_string,  "2147483648",       "32 bits"),
    ("an IS as a number has 32 bits",                 text.integer_string,  2**31,              "32 bits"),
    ("a DS has a point, no comma",                    text.decimal_string,  "7,46",             "decimal number"),
    ("a DS has no unit",                              text.decimal_string,  "7.46 mGy",         "decimal number"),
    ("a DS is no boolean",                            text.decimal_string,  True,               "decimal number"),
    ("a DS is finite",                                text.decimal_string,  float("nan"),       "at most 18 digits"),
    ("a DS is not beyond all measure",                text.decimal_string,  "1e999",            "at most 18 digits"),
    ("a DS has no thousands of digits",               text.decimal_string,  "9" * 5000,         "at most 18 digits"),
    ("a DT has a day",                                dates.date_time,      "202405",           "YYYYMMDD"),
    ("a DT's day is in the calendar",                 dates.date_time,      "20240230",         "no such day"),
    ("a DT's offset ends at +1400",                   dates.date_time,      "20240506+1500",    "-1200 to +1400"),
    ("a DT's time ends before 24",                    dates.date_time,      "2024050624",       "no such time"),
    ("a DA is in the calendar",                       dates.calendar_date,   "20230229",         "no such day"),
    ("a DA has a month",                              dates.calendar_date,   "20231301",         "no such day"),
    ("a DA is no range",                              dates.calendar_date,   "20230101-20230201", "YYYYMMDD"),
    ("a DA is whole",                                 dates.calendar_date,   "202301",           "YYYYMMDD"),
    ("a TM ends before 24",                           dates.time_of_day,     "240000",           "no such time"),
    ("a TM has 59 minutes",                           dates.time_of_day,     "0760",             "no such time"),
    ("a legacy TM has 59 minutes",                    dates.time_of_day,     "07:60",            "no such time"),
    ("a TM has no leap second",                       dates.time_of_day,     "235960",           "no such time"),
    ("a TM has 6 digits of fraction",                 dates.time_of_day,     "072730.1234567",   "HHMMSS"),
    ("a TM is whole pairs",                           dates.time_of_day,     "07273",            "HHMMSS"),
    ("an offset has 16 characters",                   dates.utc_offset,      "+" + "0" * 16,     "longer than 16"),
    ("an offset has a sign",                          dates.utc_offset,      "0100",             "+HHMM"),
    ("an offset has no letters and no colon",         dates.utc_offset,      "UTC-04:00",        "+HHMM"),
    ("an offset ends at +1400",                       dates.utc_offset,      "+1500",            "-1200 to +1400"),
    ("an offset ends at +1400 sharp",                 dates.utc_offset,      "+1401",            "-1200 to +1400"),
    ("an offset begins at -1200",                     dates.utc_offset,      "-1201",            "-1200 to +1400"),
    ("an offset has 59 minutes",                      dates.utc_offset,      "+0160",            "-1200 to +1400"),
    ("a PN has three groups",                         names.person_name,     "A=B=C=D",          "three component groups"),
    ("a PN has three groups, also in Alphabetic",     names.person_name,     {"Alphabetic": "A=B=C=D"}, "three component groups"),
    ("a group said twice is said alike",              names.person_name,     {"Alphabetic": "Roe=路", "Ideographic": "金"}, "two different"),
    ("another group has no groups in it",             names.person_name,     {"Ideographic": "路=ろ"}, "`=` inside"),
    ("a PN group is text",                            names.person_name,     {"Alphabetic": 7},  "a string"),
    ("a PN group has 64 characters",                  names.person_name,     "A" * 65,           "longer than 64"),
    ("a PN group has five components",                names.person_name,     "A^B^C^D^E^F",      "more than 5 components"),
    ("a PN is no number",                             names.person_name,     7,                  "person name"),
    ("text has no control characters",                values.parser("PatientID", "LO"), "A\x07B", "control characters"),
    ("text is Unicode: no half of a pair",            values.parser("PatientID", "LO"), "A\ud800", "not Unicode text"),
    ("an LO has 64 characters",                       values.parser("PatientID", "LO"), "A" * 65, "longer than 64"),
    ("a sex is M, F or O",                            values.parser("PatientSex", "CS"), "U",     "one of F, M, O"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "parse", "item", "expected"), READ, ids=[row[0] for row in READ])
def test_read(rule, parse, item, expected):
    """What archives hold and a reader can rely on."""
    assert parse(item) == expected, rule


@pytest.mark.parametrize(("rule", "parse", "item", "said"), BROKEN, ids=[row[0] for row in BROKEN])
def test_broken(rule, parse, item, said):
    """The error names the rule, and never the value."""
    with pytest.raises(InvalidValueError) as caught:
        parse(item)
    assert said in str(caught.value), rule
    if isinstance(item, str) and len(item) > 3:
        assert item not in str(caught.value), rule


BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN", "NONE"}


def test_every_vr_has_a_parser_or_a_named_error():
    """A row of the table may have any tag of the dictionary."""
    for vr in sorted({vr for vr, *_ in DicomDictionary.values()}):
        if set(vr.split(" or ")) & BINARY:
            with pytest.raises(ValueError, match=f"PixelData: values of VR {vr} are binary"):
                values.parser("PixelData", vr)
        else:
            assert callable(values.parser("", vr))
