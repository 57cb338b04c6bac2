"""The JSON of OpenAI-compatible servers: what is sent to them, and what their answers mean.

Pure: knows nothing of HTTP. Servers differ in how an answer is held to a list of choices; log-probabilities are of the
model itself, whatever it is held to.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.core.chat import Answered, Asked
from backend.core.errors import OutsideError

MAX_TOKENS = 2  # of an answer: a letter, and the space before it where that is a token of its own
TOP_LOGPROBS = 20  # the most that servers tell
MIN_MASS = 0.1  # of probability on the choices, 0-1: with less the model was about to say something else
WRITTEN = re.compile(r"""[\s*"'(\[]*([A-Z])\s*(?:[\s.):*"'\]]*|[.):]\s.*)""", re.DOTALL)  # "B", "**B**", "B) card lost"

HELD_TO: Mapping[str, Callable[[Sequence[str]], dict[str, Any]]] = {
    "any": lambda _choices: {},
    "vllm": lambda choices: {"structured_outputs": {"choice": list(choices)}},
    "llama.cpp": lambda choices: {"grammar": "root ::= " + " | ".join(f'"{choice}"' for choice in choices)},
}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, as the server counts them."""

    read: int = 0
    written: int = 0


def body(asked: Asked, *, model: str, server: str, logprobs: bool, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The request for one answer; `extra` wins."""
    told = {"logprobs": True, "top_logprobs": TOP_LOGPROBS} if logprobs else {}
    return {
        "model": model,
        "messages": [{"role": "system", "content": asked.system}, {"role": "user", "content": asked.user}],
        "max_tokens": MAX_TOKENS,
        "temperature": asked.temperature,
        "seed": asked.seed,
        **told,
        **HELD_TO[server](asked.choices),
        **extra,
    }


def read_answer(answer: Any, choices: Sequence[str]) -> tuple[Answered, Usage]:
    """What an answer says, and what it took.

    Raises:
        OutsideError: it is not the JSON of a chat completion.
    """
    try:
        first = answer["choices"][0]
        written = str(first["message"]["content"] or "")
        told = ((first.get("logprobs") or {}).get("content") or [{}])[0].get("top_logprobs") or []
        top = [(str(each["token"]), float(each["logprob"])) for each in told]
        usage = _usage(answer.get("usage") or {})
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as err:
        raise OutsideError("a server must answer with a chat completion, but did not; check its address") from err
    return Answered(_choice(written, choices), _logprobs(top, choices), usage.read + usage.written), usage


def model_names(answer: Any) -> list[str]:
    """The models that a server lists.

    Raises:
        OutsideError: it is not such a list.
    """
    try:
        return [str(each["id"]) for each in answer["data"]]
    except (LookupError, TypeError) as err:
        raise OutsideError("a server must list its models, but did not; check its address") from err


def _usage(usage: Mapping[str, Any]) -> Usage:
    return Usage(*(max(0, int(usage.get(name) or 0)) for name in ("prompt_tokens", "completion_tokens")))


def _choice(written: str, choices: Sequence[str]) -> str:
    match = WRITTEN.fullmatch(written)
    return match[1] if match and match[1] in choices else ""


def _logprobs(top: Sequence[tuple[str, float]], choices: Sequence[str]) -> dict[str, float]:
    """By choice: all ways to write it together; one that is not among the likeliest tokens is at most as likely."""
    if not top or not all(math.isfinite(logprob) or logprob == -math.inf for _, logprob in top):
        return {}
    mass: dict[str, float] = defaultdict(float)
    for token, logprob in top:
        mass[token.strip()] += math.exp(min(logprob, 0.0))
    if sum(mass[choice] for choice in choices) < MIN_MASS:
        return {}
    least = min((logprob for _, logprob in top if logprob > -math.inf), default=0.0)
    return {choice: math.log(mass[choice]) if mass[choice] > 0 else min(least, 0.0) for choice in choices}
