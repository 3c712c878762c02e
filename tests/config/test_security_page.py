"""docs/security.md has every requirement of levels 1 and 2 once, and names what there is."""

import ast
import re
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent.parent
PAGE = (HERE / "docs/security.md").read_text()
REQUIREMENTS = {
    1: (2, 9, 11, 3, 2), 2: (3, 3, 4, 1), 3: (0, 2, 4, 6, 5, 0, 2), 4: (3, 1, 2, 4),
    5: (1, 3, 2, 3), 6: (3, 12, 4, 4, 5, 3, 0, 4), 7: (3, 4, 2, 5, 2, 2), 8: (2, 3, 1, 1),
    9: (3, 4), 10: (2, 2, 4, 11, 5, 2, 3), 11: (2, 3, 3, 4, 1, 1), 12: (3, 2, 4),
    13: (1, 5, 2, 5), 14: (2, 4, 3), 15: (3, 3, 7), 16: (1, 5, 4, 3, 3), 17: (1, 4, 2),
}  # fmt: skip
"""How many of levels 1 and 2 each section of each chapter has: they come first in it."""

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| \d", line)
]


def test_every_requirement_has_one_row() -> None:
    wanted = [
        f"{chapter}.{section}.{number}"
        for chapter, sections in REQUIREMENTS.items()
        for section, last in enumerate(sections, 1)
        for number in range(1, last + 1)
    ]

    assert Counter(one for row in ROWS for one in row[0].split(", ")) == Counter(wanted)
    assert len(wanted) == 253


def test_every_row_says_what_holds_and_what_shows_it() -> None:
    for ids, state, words, shown in ROWS:
        assert state in {"met", "partly", "not met", "operator", "n/a"}, ids
        assert words, ids
        assert state != "met" or shown, f"{ids} is met, but nothing shows it"


def test_the_sums_are_right() -> None:
    sums = Counter[str]()
    for ids, state, *_ in ROWS:
        sums[state] += len(ids.split(", "))

    told = re.findall(r"(\d+) (met|partly|not met|for the operator|not applicable)[,.]", PAGE)
    names = {"for the operator": "operator", "not applicable": "n/a"}
    assert {names.get(name, name): int(number) for number, name in told} == dict(sums)


def test_whatever_is_named_is_there() -> None:
    makefile = (HERE / "Makefile").read_text()
    for named in {name for row in ROWS for name in re.findall(r"`([^`]+)`", row[-1])}:
        path, _, test = named.partition("::")
        if test:
            found = ast.walk(ast.parse((HERE / path).read_text()))
            assert test in {one.name for one in found if isinstance(one, ast.FunctionDef)}, named
        elif named.startswith("make "):
            assert f"\n{named[5:]}:" in makefile, named
        else:
            assert (HERE / path).exists(), named
