"""What a profile says about a chat model on a server, and what each option may be."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from backend.core.errors import BadInputError
from backend.models.chat_wire import HELD_TO

LEAST: Mapping[str, float] = {
    "n_samples": 1,
    "temperature": 0.05,
    "timeout_s": 0.1,
    "concurrency": 1,
}  # values; of others 0


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The options of a profile's entry of kind openai."""

    server: str = "any"  # how answers are held to the choices: as vllm or llama.cpp takes it; any: they are not
    languages: tuple[str, ...] = ()  # of texts that it is asked about; none: all
    logprobs: bool = True  # whether log-probabilities are asked for; some servers refuse that
    n_samples: int = 5  # answers a text, where the server tells no log-probabilities
    temperature: float = 1.0  # of samples, and of log-probabilities; more is less sure
    timeout_s: float = 30.0  # for one answer; a deadline that comes earlier wins
    concurrency: int = 4  # answers asked for at a time, by each process
    requests_per_minute: float = 0.0  # by each process; 0: without a limit
    price_in: float = 0.0  # of a million tokens read, in any currency
    price_out: float = 0.0  # of a million tokens written
    extra_body: Mapping[str, Any] = field(default_factory=dict)  # sent with every request

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "ServerOptions":
        """Raises: BadInputError: an option that does not exist, or has a value that cannot be."""
        default = cls()
        known: dict[str, Any] = {each.name: getattr(default, each.name) for each in fields(cls)}
        if unknown := sorted(options.keys() - known.keys()):
            raise BadInputError(f"a server's options are {', '.join(known)}, were {unknown}; correct the profile")
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
        }
        for name, value in given.items():
            _require(name, value, type(known[name]))
        return cls(**given)


def _require(name: str, value: Any, kind: type) -> None:
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise BadInputError(f"{name} must be of type {kind.__name__}, was {value!r}; correct the profile")
    least = LEAST.get(name, 0)
    if isinstance(value, int | float) and not least <= value < math.inf:
        raise BadInputError(f"{name} must be at least {least}, was {value}; correct the profile")
    if name == "server" and value not in HELD_TO:
        raise BadInputError(f"server must be one of {', '.join(HELD_TO)}, was {value!r}; correct the profile")
