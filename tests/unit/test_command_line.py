"""`python -m local`: what is wrong on the command line is a sentence, and each argument is explained."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from local import command_line
from local.functions_host import __main__ as host
from local.parts import ANSWER_SECONDS, PARTS, ask, begin_listening, requested
from local.processes import StackError
from local.run import supervise
from local.stack import PortNumbers

ROOT = Path(__file__).parents[2]


def parsers(parser, name="local"):
    """The parser, and those of its commands."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            assert {one.dest for one in action._choices_actions} == set(action.choices)
            for command, below in action.choices.items():
                yield from parsers(below, command)


@pytest.mark.parametrize("parser", [command_line.parser(), host.parser()], ids=["local", "functions host"])
def test_each_argument_has_a_help_text(parser):
    """Of every command."""
    actions = [(name, one) for name, it in parsers(parser) for one in it._actions if one.dest != "command"]
    assert [(name, one.dest) for name, one in actions if not one.help] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run --fhir localhost:8080/fhir", "'localhost:8080/fhir' is no URL: http://HOST:PORT or https://HOST"),
        ("run --fhir ftp://host", "'ftp://host' is no URL"),
        ("compare --fhir http://", "'http://' is no URL"),
        ("load --dicom http://[ x.dcm", "'http://[' is no URL"),
        ("load --dicom http://host:port x.dcm", "'http://host:port' is no URL"),
        ("check --functions 127.0.0.1", "'127.0.0.1' is no URL"),
        ("acceptance --fhir host", "'host' is no URL"),
        ("mark --fhir host --dicom http://a", "'host' is no URL"),
        ("mark --fhir http://a --dicom host", "'host' is no URL"),
        ("run --port 65535", "'65535' is no port: a number from 1 to 65530"),
        ("run --port x", "'x' is no port"),
        ("stop nothing", "invalid choice: 'nothing'"),
    ],
)
def test_what_is_wrong_is_a_sentence(words, said, capsys):
    """Before anything is done; exit code 2."""
    with pytest.raises(SystemExit) as ended:
        command_line.parser().parse_args(words.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_slash_at_its_end_is_no_part_of_a_base_url():
    """The app and the comparison put paths behind it."""
    assert command_line.parser().parse_args(["run", "--fhir", "https://h/fhir//"]).fhir == "https://h/fhir"


@pytest.mark.parametrize("flags", [["-S"], ["-S", "-E"]])
def test_a_python_without_the_libraries_is_a_sentence(flags):
    """`python3 -m local` outside of the venv."""
    ended = subprocess.run(
        [sys.executable, *flags, "-m", "local"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "lacks what this needs" in ended.stderr
    assert ".venv/bin/python -m local" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_ports_in_a_row():
    """One number names all six; another command finds the stack by it."""
    assert PortNumbers.from_first(8071) == PortNumbers(8071, 8072, 8073, 8074, 8075, 8076)
    assert (PortNumbers.from_first(None), PortNumbers().option, PortNumbers.from_first(8071).option) == (
        PortNumbers(),
        "",
        " --port 8071",
    )


@pytest.mark.parametrize("command", ["run", "demo", "compare", "check", "load x", "stop fhir", "start fhir"])
def test_each_command_reaches_the_stack_by_its_first_port(command):
    """What the stack holds, its key, and what is asked of it are kept apart from those on the usual ports."""
    name, *more = command.split()
    usual, other = (command_line.parser().parse_args([name, *port, *more]) for port in ([], ["--port", "8071"]))
    assert (command_line._ports(usual), command_line._folder(usual)) == (PortNumbers(), command_line.STATE)
    assert (command_line._ports(other).dicom, command_line._folder(other).name) == (8072, "port-8071")


class Kept:
    """A stack without processes. `dead`: those that have ended and were not told of yet."""

    def __init__(self, *parts):
        self.parts, self.up, self.dead, self.fault = parts, set(parts), [], None

    def start(self, name):
        if self.fault:
            raise StackError(self.fault)
        self.up.add(name)

    def end(self, name):
        self.up.discard(name)

    def runs(self, name):
        return name in self.up

    def ended(self):
        told, self.dead = self.dead, []
        return told


@pytest.fixture
def looked_after(tmp_path):
    """What is told of a stack after something was asked."""
    begin_listening(tmp_path)

    def look(kept, *words):
        said = []
        for verb, part in zip(words[::2], words[1::2], strict=True):
            (tmp_path / "asked" / f"{verb}-{part}").touch()
        supervise(kept, tmp_path, "", said.append)
        return said

    return look


def test_the_end_of_a_part_is_survived(looked_after):
    """It is told once, with how to start it again; the others go on; started again, that is told too."""
    kept = Kept(*PARTS)
    kept.up, kept.dead = {"functions", "dicom", "azurite"}, ["fhir"]
    (told,) = looked_after(kept)
    assert told.startswith("the FHIR server ended by itself (see ")
    assert told.endswith("the others go on. To start it again: .venv/bin/python -m local start fhir")
    assert looked_after(kept) == []
    assert looked_after(kept, "start", "fhir") == ["the FHIR server is up again"]
    assert kept.up == set(PARTS)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("stop", "dicom"),
            "the DICOM service is stopped, the others go on. To start it again: .venv/bin/python -m local start dicom",
        ),
        (("start", "dicom"), "the DICOM service is up already"),
        (("start", "azurite"), "Azurite is not ready after 30 s"),
        (("stop", "fhir"), "the FHIR server is none of this stack's own"),
    ],
)
def test_what_is_asked_is_answered(looked_after, words, told):
    """Also where it cannot be done: `make run` goes on. With FHIR=<base URL> there is no FHIR server of its own."""
    kept = Kept("azurite", "dicom", "functions")
    kept.up, kept.fault = {"dicom", "functions"}, "Azurite is not ready after 30 s"
    assert looked_after(kept, *words) == [told]


def test_asking_waits_until_it_is_noticed(tmp_path):
    """Where no `make run` is up, or it has ended, that is said, and nothing is left for the next one."""
    with pytest.raises(StackError, match="no `make run` is up here"):
        ask(tmp_path, "stop", "fhir")
    begin_listening(tmp_path)
    seen = []
    ask(tmp_path, "stop", "fhir", lambda _: seen.extend(requested(tmp_path)))
    assert seen == [("stop", "fhir")]
    waited = []
    with pytest.raises(StackError):
        ask(tmp_path, "stop", "fhir", waited.append)
    assert sum(waited) == pytest.approx(ANSWER_SECONDS)
    assert list(requested(tmp_path)) == []
    (tmp_path / "asked" / "stop-fhir").touch()
    (tmp_path / "asked" / "other").touch()
    begin_listening(tmp_path)
    assert list(requested(tmp_path)) == []


def test_make_help_lists_the_targets():
    """All that may be asked for by name: each has its line in the Makefile."""
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (phony,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY:")]
    listed = {name for line in told.splitlines() for name in line[:20].split()}
    assert {"run", "demo", "test", "check", "compare", "help"} <= listed
    assert set(phony.split()[1:]) - listed == {"servers-hapi", "servers-medplum", "bicep"}
