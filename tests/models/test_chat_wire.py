"""What is sent to each kind of server, whole, and what their answers mean."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from backend.core.chat import Answered, Asked
from backend.core.errors import OutsideError
from backend.models.chat_wire import Usage, body, model_names, read_answer

GOLDEN = Path(__file__).parent / "golden"
ASKED = Asked(
    "Answer with a letter.", "A) card lost\nB) weather\n\nwill it rain\nLetter:", ("A", "B", "C"), 1.5, seed=3
)
THINKS_NOT = {"chat_template_kwargs": {"enable_thinking": False}}

SENT: list[tuple[str, str, bool, dict[str, Any]]] = [
    ("vllm", "vllm", True, {}),
    ("vllm_drawn", "vllm", False, THINKS_NOT),
    ("llama_cpp", "llama.cpp", True, {}),
    ("any", "any", True, {}),
]


@pytest.mark.parametrize(("case", "server", "logprobs", "extra"), SENT)
def test_a_request_reads(case: str, server: str, logprobs: bool, extra: dict[str, Any]) -> None:
    golden = json.loads((GOLDEN / f"{case}.json").read_text(encoding="utf-8"))
    assert body(ASKED, model="voter", server=server, logprobs=logprobs, extra=extra) == golden


def completion(text: str | None, **logprobs: float) -> dict[str, Any]:
    top = [{"token": token.replace("_", " "), "logprob": value} for token, value in logprobs.items()]
    return {
        "choices": [{"message": {"content": text}, "logprobs": {"content": [{"top_logprobs": top}]} if top else None}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 2, "total_tokens": 52},
    }


WRITTEN = [
    ("the letter", "B", "B"),
    ("after a space", " B", "B"),
    ("with a bracket", "B)", "B"),
    ("with its topic", "B) weather", "B"),
    ("as Markdown", "**B**", "B"),
    ("with a line", "B\n", "B"),
    ("small", "b", ""),
    ("off the list", "D", ""),
    ("a word", "Banana", ""),
    ("an article", "A message", ""),
    ("a letter that looks alike", "А", ""),
    ("nothing", "", ""),
    ("null", None, ""),
]


@pytest.mark.parametrize(("written", "choice"), [row[1:] for row in WRITTEN], ids=[row[0] for row in WRITTEN])
def test_what_is_written_is_one_of_the_choices_or_none(written: str | None, choice: str) -> None:
    answered, usage = read_answer(completion(written), ("A", "B", "C"))
    assert answered == Answered(choice, {}, 52)
    assert usage == Usage(50, 2)


def test_ways_to_write_a_letter_count_together_and_what_is_not_told_is_at_most_as_likely_as_the_least() -> None:
    told = completion("A", A=math.log(0.25), _A=math.log(0.25), B=math.log(0.3), The=math.log(0.01))
    answered, _ = read_answer(told, ("A", "B", "C"))
    assert answered.logprobs == pytest.approx({"A": math.log(0.5), "B": math.log(0.3), "C": math.log(0.01)})


NO_LOGPROBS = [
    ("about to say something else", {"The": -0.01, "A": -5.0}),
    ("no letter at all", {"The": -0.01}),
    ("not a number", {"A": math.nan}),
]


@pytest.mark.parametrize("logprobs", [row[1] for row in NO_LOGPROBS], ids=[row[0] for row in NO_LOGPROBS])
def test_logprobs_that_tell_nothing_about_the_choices_are_left_out(logprobs: dict[str, float]) -> None:
    assert read_answer(completion("A", **logprobs), ("A", "B"))[0].logprobs == {}


def test_an_answer_without_usage_took_no_tokens() -> None:
    said = {"choices": [{"message": {"content": "A"}}]}
    assert read_answer(said, ("A",)) == (Answered("A", {}, 0), Usage(0, 0))


@pytest.mark.parametrize("answer", [None, [], {}, {"choices": [{}]}, {"choices": [{"message": "A"}]}, "A", 7])
def test_what_is_no_chat_completion_is_an_error(answer: Any) -> None:
    with pytest.raises(OutsideError, match="must answer with a chat completion"):
        read_answer(answer, ("A",))


def test_models_are_listed_by_their_names() -> None:
    assert model_names({"object": "list", "data": [{"id": "a"}, {"id": "b"}]}) == ["a", "b"]
    with pytest.raises(OutsideError, match="must list its models"):
        model_names({"models": ["a"]})
