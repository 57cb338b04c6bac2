"""What a language model is given and what it says: a prompt in parts, answers to it, and how likely each is."""

from dataclasses import dataclass

from backend.core.types import FloatArray


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a prompt; parts are split into tokens apart, so that what others wrote cannot join what we did."""

    text: str
    max_tokens: int = 0  # of a text that is not ours: clipped there, and control tokens in it are ordinary characters

    @property
    def ours(self) -> bool:
        """Whether control tokens take effect, and all of it is read."""
        return not self.max_tokens


@dataclass(frozen=True, slots=True)
class Prompted:
    """A prompt, and the answers whose likelihood after it is wanted."""

    parts: tuple[Part, ...]  # what many prompts share comes first
    answers: tuple[str, ...]  # each as it stands after the prompt, its leading space and what ends it included


@dataclass(frozen=True, slots=True)
class Scored:
    """How likely each answer is after one prompt."""

    logprobs: FloatArray  # (n_answers,), nats: the sum over the answer's tokens
    tokens: int  # evaluated for this prompt, and for no other before it
