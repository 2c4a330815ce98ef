"""Changes the files of mapping/ and sync/ that differ from a commit, place by place, and names the changes no test sees.

Usage: python -m tests.mutants BASE, or with files instead; and with the tests to run, where not all of their room: what
mutmut does before the first mutant is to run them three times. In a copy of what git knows, under .local/mutants: the
working tree is not touched. What survives is a hint for a reader, and no fault by itself: some changes mean the same.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPY = ROOT / ".local" / "mutants"
ROOMS = {"shared/mapping": "tests/unit/mapping", "shared/sync": "tests/unit/sync"}
MUTMUT = str(Path(sys.executable).with_name("mutmut"))


def git(*arguments):
    asked = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return asked.stdout.splitlines()


def changed(arguments):
    """The files that are named, or that differ from the commit."""
    if any(name.endswith(".py") for name in arguments):
        return arguments
    since = git("merge-base", "HEAD", arguments[0])[0]
    differing = git("diff", "--name-only", "--diff-filter=d", since, "--", *ROOMS)
    return [name for name in differing if name.endswith(".py")]


def copied(files, tests):
    """What git knows of the working tree, with mutmut's settings behind the project's own."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in git("ls-files"):
        if (ROOT / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, COPY / name)
    rooms = [tests for room, tests in ROOMS.items() if any(name.startswith(f"{room}/") for name in files)]
    settings = {
        "source_paths": ["shared"],
        "only_mutate": files,
        "also_copy": sorted(one.name for one in COPY.iterdir() if one.name not in {"shared", "mutants"}),
        "pytest_add_cli_args_test_selection": tests or rooms,
        "pytest_add_cli_args": ["-p", "no:cacheprovider"],
    }
    with (COPY / "pyproject.toml").open("a", encoding="utf-8") as project:
        project.write("\n[tool.mutmut]\n" + "".join(f"{name} = {value!r}\n" for name, value in settings.items()))


def main(arguments):
    tests = [name for name in arguments if name.startswith("tests/")]
    files = changed([name for name in arguments if name not in tests])
    if not files:
        print("no file of mapping/ or sync/ differs: name one with FILES=...")
        return
    copied(files, tests)
    if code := subprocess.run([MUTMUT, "run"], cwd=COPY, check=False).returncode:
        sys.exit(code)  # it has said why: the tests fail, or none of them reaches these files
    told = subprocess.run([MUTMUT, "results"], cwd=COPY, check=True, capture_output=True, text=True).stdout
    survivors = [line.strip().split(":")[0] for line in told.splitlines() if line.endswith(": survived")]
    for name in survivors:
        print(f"\nsurvives: {name}")
        shown = subprocess.run([MUTMUT, "show", name], cwd=COPY, check=False, capture_output=True, text=True).stdout
        print("\n".join(line for line in shown.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")))
    print(f"\n{len(survivors)} survive; none of them fails the build")


main(sys.argv[1:])
