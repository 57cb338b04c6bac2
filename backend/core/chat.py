"""What a chat model is asked to choose and what it answers: the nouns between voters and the servers they ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with a closed list of answers."""

    system: str  # what the model is to do
    user: str  # with what
    choices: tuple[str, ...]  # each one capital letter
    temperature: float = 1.0
    seed: int = 0  # tells apart several answers to the same question


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model makes of a question; of `choice` and `logprobs` one at least is there."""

    choice: str  # one of the question's; empty where what was written is none
    logprobs: Mapping[str, float] = field(default_factory=dict)  # nats, by choice; empty where the server tells none
    tokens: int = 0  # read and written
