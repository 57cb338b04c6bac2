"""The real SmolLM2 through the real llama.cpp."""

import ctypes
import importlib
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.core.errors import ArtefactError, BadInputError, MissingExtraError, OutsideError
from backend.core.profiles import load_profile
from backend.models.llm import MAX_ANSWERS, MAX_TEXT_TOKENS, LlamaModel, Scored
from backend.models.weights import WeightStore

BEFORE = (
    "<|im_start|>system\nEach message has a topic.<|im_end|>\nMessage: how do i open it\nTopic: opening\n\nMessage:"
)
AFTER = "\nTopic:"
ANSWERS = (
    " card",
    " card lost",
    " возврат товара",
    ' say "hi"',
    " none of these",
    " cancel  order",
    "",
    " \0",
    " 支付",
)


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
    llama_cpp: Any = importlib.import_module("llama_cpp")
    logging.getLogger("llama-cpp-python").setLevel(logging.CRITICAL + 1)
    path = tmp_path_factory.mktemp("exact") / "model.gguf"
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype, settings.allow_requantize, settings.nthread = llama_cpp.LLAMA_FTYPE_ALL_F32, True, 2
    assert llama_cpp.llama_model_quantize(str(weights).encode(), str(path).encode(), ctypes.byref(settings)) == 0
    yield path
    path.unlink()


def score(model: LlamaModel, text: str, answers: tuple[str, ...] = ANSWERS) -> Scored:
    return model.score(BEFORE, AFTER, [text], [answers])[0]


def one_by_one(path: Path, text: str, answers: tuple[str, ...]) -> list[float]:
    """Each answer's log-probability from a whole evaluation of its own, by the library's high-level interface."""
    llama_cpp: Any = importlib.import_module("llama_cpp")
    llm = llama_cpp.Llama(str(path), n_ctx=512, n_threads=2, logits_all=True, verbose=False)
    newline = llm.tokenize(b"\n", add_bos=False)
    question = [
        *llm.tokenize(BEFORE.encode(), add_bos=True, special=True),
        *llm.tokenize(text.encode(), add_bos=False, special=False),
        *llm.tokenize(AFTER.encode(), add_bos=False, special=True),
    ]
    scores = []
    for answer in answers:
        spoken = llm.tokenize(answer.encode(), add_bos=False, special=False) or newline
        tokens = [*question, *spoken, *newline]
        llm.reset()
        llm.eval(tokens)
        rows = np.asarray(llm.scores[len(question) - 1 : len(tokens) - 1], dtype=np.float64)
        logs = rows - np.log(np.exp(rows - rows.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
        logs -= rows.max(axis=1, keepdims=True)
        scores.append(float(logs[np.arange(len(rows)), tokens[len(question) :]].sum()))
    llm.close()
    return scores


@pytest.mark.parametrize("text", [" i lost my card", " где мой заказ <|im_end|>", ""])
def test_answers_that_share_a_batch_score_as_if_evaluated_one_by_one(exact: Path, text: str) -> None:
    answers = (*ANSWERS, *(f" topic number {i}" for i in range(MAX_ANSWERS)))
    batched = score(LlamaModel(exact), text, answers).logprobs
    np.testing.assert_allclose(batched, one_by_one(exact, text, answers), atol=1e-2)


def test_an_answer_alone_scores_exactly_as_evaluated_whole(weights: Path, model: LlamaModel) -> None:
    for answer in (" card lost", " возврат товара"):
        (alone,) = score(model, " i lost my card", (answer,)).logprobs
        assert alone == pytest.approx(one_by_one(weights, " i lost my card", (answer,))[0], abs=1e-3)


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
    assert score(model, "<|im_end|>").tokens > score(model, "").tokens + 3


def test_a_name_that_begins_another_does_not_win_by_being_shorter(model: LlamaModel) -> None:
    before = "Message: i lost it\nTopic: card lost\n\n" * 3 + "Message:"
    (scored,) = model.score(before, AFTER, [" i lost it"], [[" card", " card lost"]])
    assert scored.logprobs[1] > -1 > scored.logprobs[0]


def test_a_score_does_not_depend_on_what_was_scored_before(model: LlamaModel) -> None:
    first = score(model, " i lost my card").logprobs
    score(model, " word" * 1000, (*ANSWERS, *ANSWERS))
    model.score("Another prompt:", " is", [" x"], [[" y"]])
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


class Paused(list[str]):
    """Texts that are not read before they are released."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(texts)
        self.reached, self.released = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[str]:
        self.reached.set()
        self.released.wait()
        return super().__iter__()


def test_who_cannot_wait_for_a_busy_model_is_told_so(model: LlamaModel) -> None:
    texts = Paused([" hello"])
    other = threading.Thread(target=lambda: model.score(BEFORE, AFTER, texts, [ANSWERS]))
    other.start()
    texts.reached.wait()
    with pytest.raises(OutsideError, match=r"must be free within 0\.0 s, but is busy"):
        model.score(BEFORE, AFTER, [" hello"], [ANSWERS], timeout_s=0.0)
    texts.released.set()
    other.join()


def test_longer_texts_are_expected_to_take_longer(model: LlamaModel) -> None:
    score(model, " hello")
    short, long = (model.expected_s(AFTER, text, ANSWERS) for text in (" hello", " hello" * 200))
    assert 0 < short < long


def test_nothing_in_gives_nothing_out(model: LlamaModel) -> None:
    assert model.score(BEFORE, AFTER, [], []) == []
    assert model.score(BEFORE, AFTER, [" hello"], [[]])[0].logprobs.shape == (0,)


@pytest.mark.parametrize(
    ("case", "before", "after", "message"),
    [
        ("nothing after the text", "Message:", "", "must go on after the text"),
        ("too long", "word " * 3000, AFTER, "must leave room for text and answers"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused(
    model: LlamaModel, case: str, before: str, after: str, message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        model.score(before, after, [" hello"], [ANSWERS])


@pytest.mark.parametrize("content", [None, b"not a model"])
def test_a_file_that_is_no_model_is_refused(weights: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"must be a GGUF model, but cannot be loaded; run `prelabel models fetch`"):
        LlamaModel(path)


def test_loading_and_scoring_print_nothing(weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    score(LlamaModel(weights), " hello")
    assert capfd.readouterr() == ("", "")


def test_without_the_library_the_error_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(MissingExtraError, match="pip install llama-cpp-python"):
        LlamaModel(Path("unused.gguf"))
