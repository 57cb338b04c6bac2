"""Prompts that go on until an answer stands next: template files, and what fills them.

A template says what stands around texts and names. These come from tasks, annotators and label configs: they are data,
each a part of its own, on one line, in which control tokens are ordinary characters.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from jinja2.exceptions import TemplateError

from backend.core.errors import BadInputError
from backend.core.scoring import Part
from backend.core.types import Label
from backend.pipeline.question import Shot, one_line, spoken

PROMPTS_DIR = Path(__file__).parent / "prompts"
PROMPT_LANGUAGES = ("en", "ru")  # others are asked in English
MAX_TEXT_TOKENS = 256  # per text: its subject stands at its beginning, and time grows with length
MAX_SHOT_TOKENS = 48  # per text and per name of a shot, per hint: what a label looks like shows in a line
DATA = re.compile("( ?)\ue000(\\d+)\ue001")  # private characters that no template holds mark where data goes


@dataclass(frozen=True)
class Prompt:
    """A template and the phrases that go with it."""

    none_of_these: str
    content_free: str  # a text that says nothing: what is likely after it is likely anyway
    hash: str  # 8 hex digits of the template
    _template: Template = field(repr=False, compare=False)

    @property
    def nbytes(self) -> int:
        """What it weighs in memory: next to nothing, beside the template engine, which is everybody's."""
        return 0

    def parts(self, text: str, shots: Sequence[Shot] = (), labels: Sequence[Label] = ()) -> tuple[Part, ...]:
        """What stands before an answer about a text, after some labels with their hints and some examples."""
        data = _Data()
        explained = [{"name": data.keep(spoken(label.name), MAX_SHOT_TOKENS),
                      "hint": data.keep(label.hint, MAX_SHOT_TOKENS) if label.hint else ""}
                     for label in labels]  # fmt: skip
        shown = [{"text": data.keep(shot.text, MAX_SHOT_TOKENS), "answer": data.keep(shot.answer, MAX_SHOT_TOKENS)}
                 for shot in shots]  # fmt: skip
        filled = self._template.render(text=data.keep(text, MAX_TEXT_TOKENS), shots=shown, labels=explained)
        return data.split(filled)


@dataclass(frozen=True)
class JudgePrompt:
    """A template about a text and a label, and the answers that go with it."""

    answers: tuple[str, ...]  # as they stand after the prompt; the least favourable first
    content_free: str  # a text, and a label, that says nothing
    hash: str  # 8 hex digits of the template
    _template: Template = field(repr=False, compare=False)

    def parts(self, text: str, label: str) -> tuple[Part, ...]:
        """What stands before an answer about a text and a label's name, as it is spoken."""
        data = _Data()
        kept = {"text": data.keep(text, MAX_TEXT_TOKENS), "label": data.keep(label, MAX_SHOT_TOKENS)}
        return data.split(self._template.render(kept))


class _Data:
    """What others wrote, kept out of the template's text until that is done."""

    def __init__(self) -> None:
        self._kept: list[Part] = []

    def keep(self, text: str, max_tokens: int) -> str:
        self._kept.append(Part(one_line(text), max_tokens))
        return f"\ue000{len(self._kept) - 1}\ue001"

    def split(self, rendered: str) -> tuple[Part, ...]:
        """Parts in order; a space before data belongs to it, since tokens begin with theirs."""
        parts, last = [], 0
        for found in DATA.finditer(rendered):
            kept = self._kept[int(found[2])]
            parts += [Part(rendered[last : found.start()]), Part(found[1] + kept.text, kept.max_tokens)]
            last = found.end()
        return tuple(part for part in (*parts, Part(rendered[last:])) if part.text)


def answers_of(names: Sequence[str], *, short: bool = False) -> tuple[str, ...]:
    """Names as they stand after a prompt.

    What begins another ends with its line, or it would win by being shorter. Where a model was shown what labels are
    called, the first words that tell a name from the others stand for all of it: to go on as it began is certain then.
    """
    return tuple(f" {_short(name, names) if short else _whole(name, names)}" for name in names)


def _short(name: str, names: Sequence[str]) -> str:
    words = name.split(" ")
    beginnings = (" ".join(words[:end]) for end in range(1, len(words)))
    return next((each for each in beginnings if not _begins_another(each, name, names)), _whole(name, names))


def _whole(name: str, names: Sequence[str]) -> str:
    return f"{name}\n" if _begins_another(name, name, names) else name


def _begins_another(beginning: str, name: str, names: Sequence[str]) -> bool:
    return any(other != name and other.startswith(beginning) for other in names)


def load_prompt(language: str, *, folder: Path = PROMPTS_DIR) -> Prompt:
    """The prompt for texts of a language.

    Raises:
        BadInputError: the template is none, or asks for what nobody gives it.
    """
    name = file_name("vote", language)
    with _read_as(name, "text, shots and labels that sets none_of_these and content_free"):
        template, digest = template_of(folder, name)
        said: Any = template.make_module({"text": "", "shots": [], "labels": []})
        prompt = Prompt(str(said.none_of_these), str(said.content_free), digest, template)
        prompt.parts("text", [Shot("text", "answer")], [Label("label", "label", "hint")])
        parts = prompt.parts("text")
    _require_asking(name, parts, "text")
    return prompt


def load_judge_prompt(question: str, language: str, *, n_answers: int, folder: Path = PROMPTS_DIR) -> JudgePrompt:
    """The prompt of a question about a text and a label, for texts of a language.

    Raises:
        BadInputError: the template is none, asks for what nobody gives it, or has another number of answers.
    """
    name = file_name(f"judge_{question}", language)
    with _read_as(name, "text and label that sets answers and content_free"):
        template, digest = template_of(folder, name)
        said: Any = template.make_module({"text": "", "label": ""})
        answers = tuple(str(answer) for answer in said.answers)
        prompt = JudgePrompt(answers_of(answers), str(said.content_free), digest, template)
        parts = prompt.parts("text", "label")
    _require_asking(name, parts, "text", "label")
    if len(set(answers)) != n_answers or len(answers) != n_answers:
        raise BadInputError(f"{name} must set {n_answers} different answers, the least first, was {list(answers)}")
    return prompt


def file_name(kind: str, language: str) -> str:
    """Of the template for texts of a language."""
    return f"{kind}_{language if language in PROMPT_LANGUAGES else 'en'}.j2"


def template_of(folder: Path, name: str) -> tuple[Template, str]:
    """A template, and 8 hex digits of its file."""
    prompts = Environment(loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=False)  # noqa: S701 (plain text, not HTML)
    return prompts.get_template(name), hashlib.sha256((folder / name).read_bytes()).hexdigest()[:8]


@contextmanager
def _read_as(name: str, what: str) -> Iterator[None]:
    try:
        yield
    except (TemplateError, AttributeError) as err:
        raise BadInputError(f"{name} must be a template of {what}; {err}") from err


def _require_asking(name: str, parts: Sequence[Part], *shown: str) -> None:
    """Raises BadInputError where something is not shown, or the prompt does not go on until an answer."""
    data = [part.text.removeprefix(" ") for part in parts if not part.ours]
    for each in shown:
        if each not in data:
            raise BadInputError(f"{name} must show the {each}, but does not; add {{{{ {each} }}}}")
    if not parts[-1].ours or not parts[-1].text.strip():
        raise BadInputError(f"{name} must go on after the {shown[-1]}, but ends with it; add what precedes the answer")
