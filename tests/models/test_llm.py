"""The real SmolLM2 through the real llama.cpp."""

import importlib
import math
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.core.deadline import FOREVER, Deadline
from backend.core.errors import ArtefactError, BadInputError, MissingExtraError
from backend.core.profiles import load_profile
from backend.core.scoring import Part, Prompted, Scored
from backend.models.llm import MAX_ANSWERS, LlamaModel, checksum_of
from backend.models.weights import WeightStore

BEFORE = (
    "<|im_start|>system\nEach message has a topic.<|im_end|>\nMessage: how do i open it\nTopic: opening\n\nMessage:"
)
AFTER = "\nTopic:"
MAX_TEXT_TOKENS = 256
ATOL, RTOL = 1e-2, 1e-3  # nats; what memory holds of each token has 16 bits, and long answers add up more of it
ANSWERS = (
    " card\n",
    " card lost",
    " возврат товара",
    ' say "hi"',
    " none of these",
    " cancel  order",
    "",
    " \0",
    " 支付",
)

REQUANTIZE = """
import ctypes, sys, llama_cpp
settings = llama_cpp.llama_model_quantize_default_params()
settings.ftype, settings.allow_requantize, settings.nthread = llama_cpp.LLAMA_FTYPE_ALL_F32, True, 2
sys.exit(llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(settings)))
"""


@pytest.fixture(scope="module")
def weights(models_dir: Path) -> Path:
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install 'prelabel[llm]'")
    return WeightStore(models_dir).path(load_profile("embedded").voters[0])


@pytest.fixture(scope="module")
def model(weights: Path) -> LlamaModel:
    return LlamaModel(weights)


@pytest.fixture(scope="module")
def exact(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same weights in 32 bits: activations are then not rounded to eight, and sums may be compared."""
    path = tmp_path_factory.mktemp("exact") / "model.gguf"
    subprocess.run([sys.executable, "-c", REQUANTIZE, str(weights), str(path)], check=True, capture_output=True)
    yield path
    path.unlink()


def asking(text: str, answers: tuple[str, ...] = ANSWERS, *, before: str = BEFORE) -> Prompted:
    return Prompted((Part(before), Part(text, MAX_TEXT_TOKENS), Part(AFTER)), answers)


def score(model: LlamaModel, text: str, answers: tuple[str, ...] = ANSWERS) -> Scored:
    (scored,) = model.score([asking(text, answers)], deadline=FOREVER)
    assert scored is not None
    return scored


def one_by_one(path: Path, asked: Sequence[Prompted]) -> list[list[float]]:
    """Each answer's log-probability from a whole evaluation of its own, by the library's high-level interface."""
    llama_cpp: Any = importlib.import_module("llama_cpp")
    llm = llama_cpp.Llama(str(path), n_ctx=512, n_threads=2, logits_all=True, verbose=False)
    newline = llm.tokenize(b"\n", add_bos=False)
    found: list[list[float]] = []
    for prompted in asked:
        before, text, after = (part.text.encode() for part in prompted.parts)
        question = [
            *llm.tokenize(before, add_bos=True, special=True),
            *llm.tokenize(text, add_bos=False, special=False),
            *llm.tokenize(after, add_bos=False, special=True),
        ]
        found.append([])
        for answer in prompted.answers:
            spoken = llm.tokenize(answer.encode(), add_bos=False, special=False) or newline
            tokens = [*question, *spoken]
            llm.reset()
            llm.eval(tokens)
            rows = np.asarray(llm.scores[len(question) - 1 : len(tokens) - 1], dtype=np.float64)
            logs = rows - np.log(np.exp(rows - rows.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
            logs -= rows.max(axis=1, keepdims=True)
            found[-1].append(float(logs[np.arange(len(rows)), tokens[len(question) :]].sum()))
    llm.close()
    return found


def test_a_model_that_nobody_uses_gives_its_memory_back_at_once(weights: Path) -> None:
    model = LlamaModel(weights)
    score(model, " i lost my card")
    held = weakref.ref(model)
    del model
    assert held() is None


def test_texts_and_answers_that_share_a_batch_score_as_if_evaluated_one_by_one(exact: Path) -> None:
    asked = [
        asking(" i lost my card"),
        asking(" i lost my card number", (" card", " card lost", " card lost again")),
        asking(" где мой заказ <|im_end|>", (*ANSWERS[2:4], " возврат")),
        asking(' say "hi", please', (*ANSWERS[3:], ANSWERS[3])),
        asking("", ANSWERS[:3]),
        asking(" i lost", (" card",), before=BEFORE.replace("Each", "Every")),
    ]
    scored = LlamaModel(exact).score(asked, deadline=FOREVER)
    for found, expected in zip(scored, one_by_one(exact, asked), strict=True):
        assert found is not None
        np.testing.assert_allclose(found.logprobs, expected, rtol=RTOL, atol=ATOL)


def test_as_many_answers_as_a_prompt_may_have_score_as_if_evaluated_one_by_one(exact: Path) -> None:
    answers = (*ANSWERS, *(f" topic number {i}" for i in range(MAX_ANSWERS - len(ANSWERS))))
    batched = score(LlamaModel(exact), " i lost my card", answers).logprobs
    looked_at = [*range(len(ANSWERS)), *range(len(ANSWERS), MAX_ANSWERS, 40), MAX_ANSWERS - 1]
    (expected,) = one_by_one(exact, [asking(" i lost my card", tuple(answers[at] for at in looked_at))])
    np.testing.assert_allclose(batched[looked_at], expected, rtol=RTOL, atol=ATOL)


def test_an_answer_alone_scores_exactly_as_evaluated_whole(weights: Path, model: LlamaModel) -> None:
    for answer in (" card lost", " возврат товара"):
        (alone,) = score(model, " i lost my card", (answer,)).logprobs
        ((whole,),) = one_by_one(weights, [asking(" i lost my card", (answer,))])
        assert alone == pytest.approx(whole, abs=1e-3)


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("empty", ""),
        ("nul", " \0 a\0b"),
        ("long", " word" * 20_000),
        ("long without a space", "щ" * 100_000),
        ("control tokens", "<|im_end|>\n<|endoftext|>"),
        ("half a surrogate pair", " \ud83d hi"),
        ("emoji", " 👩‍👩‍👧‍👦" * 10),
    ],
)
def test_any_text_gets_finite_scores_and_bounded_work(model: LlamaModel, case: str, text: str) -> None:
    scored = score(model, text)
    assert scored.logprobs.shape == (len(ANSWERS),)
    assert np.isfinite(scored.logprobs).all()
    assert (scored.logprobs < 0).all()
    assert scored.tokens < MAX_TEXT_TOKENS + 60


def test_control_tokens_in_a_text_are_ordinary_characters(model: LlamaModel) -> None:
    asked = [asking("<|im_end|>"), asking("")]
    (spelt, _), (empty, _) = (model.expected([one]) for one in asked)
    assert spelt > empty + 3


def test_an_answer_that_ends_with_its_line_does_not_win_by_being_shorter(model: LlamaModel) -> None:
    before = "Message: i lost it\nTopic: card lost\n\n" * 3 + "Message:"
    (scored,) = model.score([asking(" i lost it", (" card\n", " card lost"), before=before)], deadline=FOREVER)
    assert scored is not None
    assert scored.logprobs[1] > -1 > scored.logprobs[0]


def test_a_score_does_not_depend_on_what_was_scored_before(model: LlamaModel) -> None:
    first = score(model, " i lost my card").logprobs
    score(model, " word" * 1000, (*ANSWERS, *ANSWERS))
    model.score([asking(" x", (" y",), before="Another prompt:")], deadline=FOREVER)
    np.testing.assert_array_equal(score(model, " i lost my card").logprobs, first)


def test_threads_that_share_a_model_get_their_own_scores(model: LlamaModel) -> None:
    texts = [" i lost my card", " где мой заказ", " hello", ""]
    alone = [score(model, text).logprobs for text in texts]
    found: dict[str, Any] = {}
    threads = [threading.Thread(target=lambda t=text: found.update({t: score(model, t).logprobs})) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal([found[text] for text in texts], alone)


class Held(Deadline):
    """Never passes; but the second who looks at it, who has the model by then, waits until the model is released."""

    looks: Iterator[int]
    reached: threading.Event
    released: threading.Event

    def __init__(self) -> None:
        super().__init__(math.inf)
        object.__setattr__(self, "looks", iter(range(9)))
        object.__setattr__(self, "reached", threading.Event())
        object.__setattr__(self, "released", threading.Event())

    @property
    def left_s(self) -> float:
        if next(self.looks):
            self.reached.set()
            self.released.wait()
        return math.inf


def test_who_cannot_wait_for_a_busy_model_gets_no_scores(model: LlamaModel) -> None:
    held = Held()
    other = threading.Thread(target=lambda: model.score([asking(" hello")], deadline=held))
    other.start()
    held.reached.wait()
    assert model.score([asking(" hello")] * 2, deadline=Deadline.after(0)) == [None, None]
    held.released.set()
    other.join()


class Passing(Deadline):
    """Passes when it was looked at so many times."""

    looks: Iterator[float]

    def __init__(self, looks: int) -> None:
        super().__init__(math.inf)
        object.__setattr__(self, "looks", iter([math.inf] * looks))

    @property
    def left_s(self) -> float:
        return next(self.looks, 0.0)


def test_past_the_deadline_no_batch_is_begun_and_what_was_scored_stays(model: LlamaModel) -> None:
    asked = [asking(f" {word}" * 300) for word in ("one", "two", "three")]  # each fills most of a batch
    known = [scored is not None for scored in model.score(asked, deadline=Passing(2))]
    assert sorted(known) == [False, False, True]
    assert model.score(asked, deadline=Deadline.after(0)) == [None] * 3


def test_longer_texts_are_expected_to_take_longer(model: LlamaModel) -> None:
    score(model, " hello")
    (n_short, short), (n_long, long) = (model.expected([asking(text)]) for text in (" hello", " hello" * 200))
    assert 0 < n_short < n_long
    assert 0 < short < long


def test_before_anything_was_scored_no_time_is_expected(weights: Path) -> None:
    n_tokens, seconds = LlamaModel(weights).expected([asking(" hello")])
    assert n_tokens > 0
    assert seconds == 0


def test_as_many_tokens_are_evaluated_as_expected_and_none_twice(model: LlamaModel) -> None:
    asked = [asking(text) for text in (" hello", " hello there", " где мой заказ", " hello")]
    score(model, " elsewhere")
    expected, _ = model.expected(asked)
    tokens = [scored.tokens for scored in model.score(asked, deadline=FOREVER) if scored]
    assert sum(tokens) == expected
    assert tokens[0] == 0 or tokens[3] == 0


def test_what_prompts_begin_with_stays_evaluated(model: LlamaModel) -> None:
    model.score([asking(" x", (" y",), before="Another prompt:")], deadline=FOREVER)
    first, second = score(model, " hello", (" a",)), score(model, " goodbye", (" a",))
    assert second.tokens < first.tokens / 2


LONG = "the message asks for something else than the one before it. " * 12


@dataclass
class Shelf:
    """States in a dictionary."""

    states: dict[str, bytes] = field(default_factory=dict)

    def recall(self, key: str) -> bytes | None:
        return self.states.get(key)

    def keep(self, key: str, state: bytes) -> None:
        self.states[key] = state


def test_what_was_read_once_is_not_evaluated_by_the_next_process(weights: Path) -> None:
    shelf, asked = Shelf(), asking(" i lost my card", before=LONG)
    (first,), (again,) = (LlamaModel(weights, prefixes=shelf).score([asked], deadline=FOREVER) for _ in range(2))
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(again.logprobs, first.logprobs)
    assert again.tokens < first.tokens - 100


def test_after_another_beginning_was_read_scores_are_those_of_the_first(weights: Path) -> None:
    model, one, other = (
        LlamaModel(weights, prefixes=Shelf()),
        asking(" hi", before=LONG),
        asking(" hi", before=LONG[9:]),
    )
    (first,), _, (again,) = (model.score([asked], deadline=FOREVER) for asked in (one, other, one))
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(again.logprobs, first.logprobs)
    assert again.tokens < first.tokens - 100


@pytest.mark.parametrize("state", [b"", b"no state", b"\xff" * 5000], ids=str)
def test_a_state_that_is_none_is_evaluated_again(weights: Path, state: bytes) -> None:
    shelf, asked = Shelf(), asking(" hi", before=LONG)
    (first,) = LlamaModel(weights, prefixes=shelf).score([asked], deadline=FOREVER)
    shelf.states = dict.fromkeys(shelf.states, state)
    (again,) = LlamaModel(weights, prefixes=shelf).score([asked], deadline=FOREVER)
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(again.logprobs, first.logprobs)


def test_short_beginnings_are_not_kept(weights: Path) -> None:
    shelf = Shelf()
    LlamaModel(weights, prefixes=shelf).score([asking(" hi")], deadline=FOREVER)
    assert shelf.states == {}


def test_a_small_context_holds_few_prompts_at_a_time(exact: Path) -> None:
    asked = [asking(f" i lost card number {n}", (" card", " card lost")) for n in range(60)]
    model = LlamaModel(exact, n_ctx=256)
    assert not model.fits(asking(" hello" * 250))
    scored = model.score(asked, deadline=FOREVER)[::12]
    del model  # half a gigabyte
    for found, expected in zip(scored, one_by_one(exact, asked[::12]), strict=True):
        assert found is not None
        np.testing.assert_allclose(found.logprobs, expected, rtol=RTOL, atol=ATOL)


def test_nothing_in_gives_nothing_out(model: LlamaModel) -> None:
    assert model.score([], deadline=FOREVER) == []
    assert score(model, " hello", ()).logprobs.shape == (0,)


@pytest.mark.parametrize(
    ("case", "prompted", "message"),
    [
        ("too long", asking(" hello", before="word " * 5000), r"room for its answers: 4092 tokens in all, was \d{4}"),
        ("too many answers", asking(" hello", (" a",) * (MAX_ANSWERS + 1)), "at most 254 answers, has 255"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused(model: LlamaModel, case: str, prompted: Prompted, message: str) -> None:
    assert not model.fits(prompted)
    with pytest.raises(BadInputError, match=message):
        model.score([asking(" hello"), prompted], deadline=FOREVER)


def test_an_empty_prompt_is_refused(model: LlamaModel) -> None:
    with pytest.raises(BadInputError, match="must hold something before its answers, but is empty"):
        model.score([Prompted((), (" a",))], deadline=FOREVER)


def test_a_prompt_that_just_fits_is_scored(weights: Path) -> None:
    model = LlamaModel(weights, n_ctx=256)
    asked = [asking(" hello", (" a",), before="word " * n) for n in range(180, 256)]
    longest = [one for one in asked if model.fits(one)][-1]
    assert longest is not asked[-1]
    (scored,) = model.score([longest], deadline=FOREVER)
    assert scored is not None
    assert np.isfinite(scored.logprobs).all()


def test_a_checksum_tells_weights_apart_by_size_beginning_and_end(tmp_path: Path) -> None:
    contents = {"a": b"ab", "same": b"ab", "longer": b"abb", "end": b"aa", "beginning": b"bb"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content + b"\0" * 3_000_000 + content)
    found = {name: checksum_of(tmp_path / name) for name in contents}
    assert found["a"] == found["same"]
    assert len(set(found.values())) == 4


@pytest.mark.parametrize(("content", "trouble"), [(None, "read"), (b"not a model", "loaded")])
def test_a_file_that_is_no_model_is_refused(weights: Path, tmp_path: Path, content: bytes | None, trouble: str) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        ArtefactError, match=f"must be a GGUF model, but cannot be {trouble}; run `prelabel models fetch`"
    ):
        LlamaModel(path)


def test_loading_and_scoring_print_nothing(weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    score(LlamaModel(weights), " hello")
    assert capfd.readouterr() == ("", "")


def test_without_the_library_the_error_names_the_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.gguf").write_bytes(b"unread")
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(MissingExtraError, match="pip install llama-cpp-python"):
        LlamaModel(tmp_path / "model.gguf")
