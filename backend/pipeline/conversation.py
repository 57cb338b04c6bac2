"""How the makers of a model write a conversation: what stands around a message, up to where the model answers.

The template comes with the weights (Jinja, as in GGUF files). It is run in a sandbox.
"""

from dataclasses import dataclass
from typing import NoReturn

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from backend.core.errors import ArtefactError

MESSAGE = "\ue000"  # a private character, in place of the message
REMEDY = "take other weights, or ask without it"


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands before and after a message; control tokens in both take effect."""

    before: str = ""
    after: str = ""


def frame_of(template: str, *, model: str, system: str = "") -> Frame:
    """The frame of a conversation's first message.

    Args:
        template: a model's own; the token that begins a text is left out, since that is the tokeniser's to add.
        model: for errors.
        system: what the model is told before; goes before the message where a template knows no such part.

    Raises:
        ArtefactError: there is no template, or it is none.
    """
    if not template:
        raise ArtefactError(f"{model} must carry a chat template to be asked in a conversation, has none; {REMEDY}")
    message = {"role": "user", "content": MESSAGE}
    try:
        try:
            written = _written(template, [{"role": "system", "content": system}, message] if system else [message])
        except _RefusedError:
            message["content"] = f"{system}\n\n{MESSAGE}"
            written = _written(template, [message])
    except (TemplateError, _RefusedError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as err:
        raise ArtefactError(f"the chat template of {model} must write a message down, but fails; {REMEDY}") from err
    before, found, after = written.partition(MESSAGE)
    if not found or MESSAGE in after:
        raise ArtefactError(f"the chat template of {model} must show a message once, but does not; {REMEDY}")
    return Frame(before, after)


class _RefusedError(Exception):
    """What a template raises of its own accord."""


def _refuse(reason: str) -> NoReturn:
    raise _RefusedError(reason)


def _written(template: str, messages: list[dict[str, str]]) -> str:
    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)  # as templates are written for
    sandbox.globals["raise_exception"] = _refuse
    made = sandbox.from_string(template)
    return made.render(messages=messages, add_generation_prompt=True, bos_token="", eos_token="")
