"""The self-check: step by step or in one answer, and what is not worth asking any more."""

import pytest

from shared.errors import CheckError, NotAskedError, OutageError, RequestError
from shared.sync.status.check import MAX_SECONDS, Question, run_check, run_step


class Answers:
    """Questions named by the word that they answer with: `down` and `wrong` fail, `none` has nothing to ask."""

    def __init__(self, *names):
        self.asked = []
        self.questions = [Question(name, lambda name=name: self.answer(name), f"mend {name}") for name in names]

    def answer(self, name):
        self.asked.append(name)
        if "down" in name:
            raise OutageError("FHIR server", "503")
        if "wrong" in name:
            raise CheckError("its clock is wrong", "set it")
        if "none" in name:
            raise NotAskedError("nothing to ask")
        return "well"


def told(check):
    return [(step.name, step.state.value, step.action) for step in check.steps]


SEVERAL = ("storage: a", "DICOM: down", "DICOM: b", "DICOM: c", "FHIR: none", "FHIR: d", "FHIR: wrong", "FHIR: e")
TOLD = [
    ("storage: a", "ok", None),
    ("DICOM: down", "failed", "mend DICOM: down"),
    ("DICOM: b", "skipped", None),
    ("DICOM: c", "skipped", None),
    ("FHIR: none", "skipped", None),
    ("FHIR: d", "ok", None),
    ("FHIR: wrong", "failed", "set it"),
    ("FHIR: e", "skipped", None),
]


def test_a_systems_first_failure_is_its_last():
    """What is down fails at each question, after a time-out each: the later ones are skipped, and say why."""
    answers = Answers(*SEVERAL)
    check = run_check(answers.questions)
    assert (told(check), check.is_ok, check.next) == (TOLD, False, None)
    assert answers.asked == ["storage: a", "DICOM: down", "FHIR: none", "FHIR: d", "FHIR: wrong"]
    assert check.steps[2].message == "not asked, as this failed: DICOM: down"


def test_step_by_step_is_the_same():
    """Whoever asks for what `next` names has it all, each step as it ends."""
    answers, steps, number = Answers(*SEVERAL), [], 1
    while number:
        check = run_step(answers.questions, number)
        steps += told(check)
        assert check.next is None or check.next.name == SEVERAL[check.next.step - 1]
        number = check.next and check.next.step
    assert steps == TOLD
    assert answers.asked == ["storage: a", "DICOM: down", "FHIR: none", "FHIR: d", "FHIR: wrong"]


@pytest.mark.parametrize("number", [0, 3, 99, -1])
def test_a_step_that_is_none(number):
    """Is a fault of the request, which says what there is."""
    with pytest.raises(RequestError, match="from 1 to 2"):
        run_step(Answers("a: 1", "b: 2").questions, number)


def test_no_time_left():
    """The Functions host gives an answer 230 s: what has not been asked by then is skipped."""
    times = iter([0.0, 1.0, 1.0, 2.0, MAX_SECONDS + 1.0, MAX_SECONDS + 2.0])
    check = run_check(Answers("a: 1", "b: 2", "c: 3").questions, lambda: next(times))
    assert [(step.state.value, step.message[:12]) for step in check.steps] == [("ok", "well")] + [
        ("skipped", "no time left")
    ] * 2
