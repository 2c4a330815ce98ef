"""Value rules by VR: what is read, and which rule is named where it is not."""

from datetime import date, timedelta, timezone

import pytest

from shared.mapping import values
from shared.mapping.values import InvalidValueError, NameGroup, PersonName, TimeOfDay

LONG_UID = "1." + "2" * 63

READ = [
    # rule                                            parser                  item                expected
    ("a CS is trimmed",                               values.code_string,     " CT ",             "CT"),
    ("a UID loses its NUL",                           values.uid,             "1.2.840\0",        "1.2.840"),
    ("a UID loses its blank",                         values.uid,             "1.2.840 ",         "1.2.840"),
    ("an IS may be a number",                         values.integer_string,  7,                  7),
    ("an IS may be a string",                         values.integer_string,  " +7 ",             7),
    ("an IS may be a whole float",                    values.integer_string,  7.0,                7),
    ("an IS may be negative",                         values.integer_string,  "-7",               -7),
    ("a DA is a day",                                 values.calendar_date,   "20040119",         date(2004, 1, 19)),
    ("a legacy DA is a day",                          values.calendar_date,   "2004.01.19",       date(2004, 1, 19)),
    ("a leap day is a day",                           values.calendar_date,   "20240229",         date(2024, 2, 29)),
    ("a TM may be an hour",                           values.time_of_day,     "07",               TimeOfDay(7)),
    ("a TM may be minutes",                           values.time_of_day,     "0727",             TimeOfDay(7, 27)),
    ("a TM may be seconds",                           values.time_of_day,     "072730",           TimeOfDay(7, 27, 30)),
    ("a fraction of 1 digit is tenths",               values.time_of_day,     "072730.5",         TimeOfDay(7, 27, 30, 500)),
    ("a fraction of 6 digits is cut to ms",           values.time_of_day,     "072730.123999",    TimeOfDay(7, 27, 30, 123)),
    ("a TM loses trailing blanks",                    values.time_of_day,     "072730.10  ",      TimeOfDay(7, 27, 30, 100)),
    ("a legacy TM is a time",                         values.time_of_day,     "14:04:38",         TimeOfDay(14, 4, 38)),
    ("an offset may be east",                         values.utc_offset,      "+0100",            timezone(timedelta(hours=1))),
    ("an offset may be half an hour west",            values.utc_offset,      "-0330",            timezone(-timedelta(hours=3, minutes=30))),
    ("a PN may be its groups",                        values.person_name,     {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"},
     PersonName(NameGroup("Yamada", "Tarou"), NameGroup("山田", "太郎"), NameGroup("やまだ", "たろう"))),
    ("a PN may be a string with `=`",                 values.person_name,     "A^B=C^D",          PersonName(NameGroup("A", "B"), NameGroup("C", "D"))),
    ("a PN has five components",                      values.person_name,     "Adams^John Robert^Quincy^Rev.^B.A. M.Div.",
     PersonName(NameGroup("Adams", "John Robert", "Quincy", "Rev.", "B.A. M.Div."))),
    ("a PN may be one component",                     values.person_name,     "Adams",            PersonName(NameGroup("Adams"))),
    ("a PN may lack the family name",                 values.person_name,     "^John",            PersonName(NameGroup("", "John"))),
    ("blanks inside a PN are one",                    values.person_name,     "Van  Dyke ^ J  R", PersonName(NameGroup("Van Dyke", "J R"))),
    ("a PN of carets says nothing",                   values.person_name,     {"Alphabetic": "^^"}, PersonName()),
]  # fmt: skip

BROKEN = [
    # rule                                            parser                  item                what the error says
    ("a CS has no lower case",                        values.code_string,     "ct",               "only A-Z"),
    ("a CS has 16 characters",                        values.code_string,     "A" * 17,           "longer than 16"),
    ("a UID has 64 characters",                       values.uid,             LONG_UID,           "longer than 64"),
    ("a UID has no leading zeros",                    values.uid,             "1.02.3",           "leading zeros"),
    ("a UID has no letters",                          values.uid,             "1.2.a",            "digits"),
    ("a UID starts with 0, 1 or 2",                   values.uid,             "3.2.1",            "starts with"),
    ("a UID has two components",                      values.uid,             "1",                "more than one component"),
    ("a UID is a string",                             values.uid,             12,                 "a string"),
    ("an IS has no decimals",                         values.integer_string,  "1.5",              "whole number"),
    ("an IS is no fraction",                          values.integer_string,  1.5,                "whole number"),
    ("an IS is no boolean",                           values.integer_string,  True,               "whole number"),
    ("an IS has 32 bits",                             values.integer_string,  "2147483648",       "32 bits"),
    ("an IS as a number has 32 bits",                 values.integer_string,  2**31,              "32 bits"),
    ("a DA is in the calendar",                       values.calendar_date,   "20230229",         "no such day"),
    ("a DA has a month",                              values.calendar_date,   "20231301",         "no such day"),
    ("a DA is no range",                              values.calendar_date,   "20230101-20230201", "YYYYMMDD"),
    ("a DA is whole",                                 values.calendar_date,   "202301",           "YYYYMMDD"),
    ("a TM ends before 24",                           values.time_of_day,     "240000",           "no such time"),
    ("a TM has no leap second",                       values.time_of_day,     "235960",           "no such time"),
    ("a TM has 6 digits of fraction",                 values.time_of_day,     "072730.1234567",   "HHMMSS"),
    ("a TM is whole pairs",                           values.time_of_day,     "07273",            "HHMMSS"),
    ("an offset has a sign",                          values.utc_offset,      "0100",             "+HHMM"),
    ("an offset ends at +1400",                       values.utc_offset,      "+1500",            "-1200 to +1400"),
    ("an offset has 59 minutes",                      values.utc_offset,      "+0160",            "-1200 to +1400"),
    ("a PN has three groups",                         values.person_name,     "A=B=C=D",          "three component groups"),
    ("a PN group has 64 characters",                  values.person_name,     "A" * 65,           "longer than 64"),
    ("a PN group has five components",                values.person_name,     "A^B^C^D^E^F",      "more than 5 components"),
    ("a PN is no number",                             values.person_name,     7,                  "person name"),
    ("text has no control characters",                values.parser("PatientID", "LO"), "A\x07B", "control characters"),
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
