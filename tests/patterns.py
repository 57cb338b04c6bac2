"""Every regular expression in our source, and the long strings that would make a careless one stand still.

Found by reading the source, so that a pattern that is written tomorrow is attacked, too.
"""

import ast
import heapq
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from typing import Any

import regex

from backend.pipeline.clean import MAX_CHARACTERS
from tests.stack import ROOT

SOURCES = ("backend", "training", "prelabel")
LIBRARIES = {"re": re, "regex": regex}
WHOLE = ("match", "fullmatch")  # begin in one place; all others begin at each sign of a text
EVERYWHERE = ("search", "sub", "subn", "split", "findall", "finditer")
N_SIGNS, N_FIRST, N_WORST = 100_000, 4_000, 3
PARTS = {"backend/pipeline/clean.py": MAX_CHARACTERS}  # sees no more of a text
WITHIN_S = 0.05
PROBES = ("a", "1", " ", "\n", ".", "-", "/", "<", "&", "'", "\\", "@", "#", "Ж", "\U0001f621")
LITERAL = re.compile(r"(?:\\[^\w\s]|[^\\\[\](){}|?*+.^$\s])+")


@dataclass(frozen=True)
class Found:
    """A pattern in the source."""

    where: str  # file:line
    call: str  # as it is written
    pattern: Any = field(repr=False)  # of `re` or `regex`; None where it is made from other values
    everywhere: bool  # whether it is ever looked for in more than one place of a text

    def attacks(self, n_signs: int) -> Iterator[str]:
        """Strings of its own parts and of common signs, which nearly match, again and again."""
        literals = {part.replace("\\", "") for part in LITERAL.findall(self.pattern.pattern)}
        units = sorted({*PROBES, *filter(None, literals)})
        for first, then in product(sorted(literals) or [""], units):
            yield first + then * (n_signs // len(then))
        for first, then in product(units, units):
            yield (first + then) * (n_signs // len(first + then))

    def run(self, text: str) -> None:
        self.pattern.fullmatch(text)
        if self.everywhere:
            for _ in self.pattern.finditer(text):
                pass


def slowest(found: Found) -> list[str]:
    """The attacks that take longest: all are tried short, the worst at the length that a pattern may see."""
    n_signs = PARTS.get(found.where.partition(":")[0], N_SIGNS)
    tried = [seconds(found.run, text) for text in found.attacks(N_FIRST)]
    worst = heapq.nlargest(N_WORST, range(len(tried)), key=tried.__getitem__)
    if tried[worst[0]] > WITHIN_S:
        return [next(islice(found.attacks(N_FIRST), worst[0], None))]
    return [text for place, text in enumerate(found.attacks(n_signs)) if place in worst]


def seconds(run: Callable[[str], object], text: str) -> float:
    """Of this thread, so that neighbours on the machine do not count."""
    began = time.thread_time()
    run(text)
    return time.thread_time() - began


def patterns() -> list[Found]:
    """All that our source makes."""
    trees = [(file, ast.parse(file.read_text())) for each in SOURCES for file in (ROOT / each).rglob("*.py")]
    used = _uses(tree for _, tree in trees)
    return [found for file, tree in sorted(trees) for found in _patterns_in(file, tree, used)]


def _uses(trees: Iterator[ast.AST]) -> dict[str, set[str]]:
    """The methods that are called on each name."""
    used: dict[str, set[str]] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used.setdefault(node.value.id, set()).add(node.attr)
    return {name: methods for name, methods in used.items() if name not in LIBRARIES}


def _patterns_in(file: Path, tree: ast.AST, used: dict[str, set[str]]) -> Iterator[Found]:
    names = {id(node.value): node.targets[0] for node in ast.walk(tree) if isinstance(node, ast.Assign)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        library, method = node.func.value, node.func.attr
        if not (isinstance(library, ast.Name) and library.id in LIBRARIES):
            continue
        if method not in (*WHOLE, *EVERYWHERE, "compile"):
            continue
        target = names.get(id(node))
        in_file = set().union(*_uses(iter([tree])).values()) if method == "compile" else {method}
        methods = used.get(target.id, set()) if isinstance(target, ast.Name) else in_file
        everywhere = not methods & {*WHOLE} or bool(methods & {*EVERYWHERE})
        where = f"{file.relative_to(ROOT)}:{node.lineno}"
        yield Found(where, ast.unparse(node), _made(node, LIBRARIES[library.id]), everywhere)


def _made(node: ast.Call, library: Any) -> Any:
    """The pattern of a call; None where it is made from other values."""
    flags = [each.value for each in node.keywords if each.arg == "flags"]
    if isinstance(node.func, ast.Attribute) and node.func.attr == "compile":
        flags += node.args[1:2]
    try:
        given = [eval(ast.unparse(each), dict(LIBRARIES)) for each in (node.args[0], *flags)]
    except NameError:
        return None
    return library.compile(*given)
