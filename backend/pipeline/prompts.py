"""Prompts that go on until an answer stands next: template files, and what fills them.

A template says what stands around texts and names. These come from tasks, annotators and label configs: they are data,
each a part of its own, on one line, in which control tokens are ordinary characters.
"""

import hashlib
import re
from collections.abc import Sequence
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


def load_prompt(language: str, *, folder: Path = PROMPTS_DIR) -> Prompt:
    """The prompt for texts of a language.

    Raises:
        BadInputError: the template is none, or asks for what nobody gives it.
    """
    name = f"vote_{language if language in PROMPT_LANGUAGES else 'en'}.j2"
    prompts = Environment(loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=False)  # noqa: S701 (plain text, not HTML)
    try:
        template = prompts.get_template(name)
        said: Any = template.make_module({"text": "", "shots": [], "labels": []})
        phrases = (str(said.none_of_these), str(said.content_free))
        prompt = Prompt(*phrases, hashlib.sha256((folder / name).read_bytes()).hexdigest()[:8], template)
        prompt.parts("text", [Shot("text", "answer")], [Label("label", "label", "hint")])
        parts = prompt.parts("text")
    except (TemplateError, AttributeError) as err:
        raise BadInputError(
            f"{name} must be a template of text, shots and labels that sets none_of_these and content_free; {err}"
        ) from err
    if all(part.ours for part in parts):
        raise BadInputError(f"{name} must show the text, but does not; add {{{{ text }}}}")
    if not parts[-1].ours or not parts[-1].text.strip():
        raise BadInputError(f"{name} must go on after the text, but ends with it; add what precedes the answer")
    return prompt
