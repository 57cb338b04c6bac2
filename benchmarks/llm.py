"""How fast votes are beside what others do: a chat completion for each text, with the same information in its prompt.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.llm [GGUF] [TEXTS]

Texts of CLINC150's test split, ten candidates and eight accepted examples each, as a pipeline trained on three labels a
class finds them. The chat is asked through llama-cpp-python's own `create_chat_completion`, its answer bound by a
grammar to the candidates: once without any cache, once with the beginning of the last prompt kept, which is what users
of llama.cpp's server have. Then the constant prompt: twenty labels, no examples. All in turns on the same texts;
accuracy is compared in pairs. Tokens of votes are those evaluated, of chats those of prompt and answer.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.assembly import Assembly
from backend.core.deadline import FOREVER
from backend.core.profiles import load_profile
from backend.core.scoring import Part, Prompted
from backend.core.settings import load_settings
from backend.core.types import Example, Label
from backend.logs import configure_logs
from backend.models.answers import NoAnswers
from backend.models.llm import BATCH_TOKENS, LlamaModel, silent_llama_cpp
from backend.models.weights import WeightStore
from backend.pipeline.ballots import Continued
from backend.pipeline.prompts import load_prompt
from backend.pipeline.question import Question, Vote, spoken
from backend.pipeline.vote import LlmVoter
from backend.pipeline.voting import N_VOTED
from benchmarks.datasets import clinc, space_of
from benchmarks.votes import interval, some
from training.run import TrainingOptions, train

N_TEXTS = 500
BLOCK = 500  # texts of a turn: as a run over a file has them
N_SHOTS, N_CONSTANT = 8, 20  # examples a prompt; labels of the constant one
SYSTEM = "You sort messages by intent. Answer with the intent that fits best, and with nothing else."


@dataclass
class Chat:
    """One completion a text, as a script would ask for it."""

    llm: Any
    grammar: Any  # llama_cpp.LlamaGrammar
    caches: bool  # whether the beginning of the last prompt is kept
    tokens: int = 0

    def answer(self, question: Question) -> str:
        names = [spoken(label.name) for label in question.candidates]
        if not self.caches:
            self.llm.reset()
        shots = "".join(f"Message: {shot.text}\nIntent: {shot.answer}\n\n" for shot in question.shots)
        intents = [f"{spoken(label.name)}: {label.hint}" for label in question.explained] or names
        asked = f"Intents:\n{chr(10).join(intents)}\n\n{shots}Message: {question.text}\nIntent:"
        choices = " | ".join(f'"{name}"' for name in names)
        said = self.llm.create_chat_completion(
            [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}],
            grammar=self.grammar.from_string(f"root ::= {choices}", verbose=False), temperature=0.0, max_tokens=24,
        )  # fmt: skip
        self.tokens += said["usage"]["total_tokens"]
        return str(said["choices"][0]["message"]["content"]).strip()


@dataclass
class Course:
    """One way to answer, and how it fared."""

    name: str
    answer: Callable[[Sequence[Question]], list[str]]
    seconds: float = 0.0
    said: list[str] = None  # type: ignore[assignment]
    tokens: int = 0

    def run(self, questions: Sequence[Question]) -> None:
        since = time.perf_counter()
        found = self.answer(questions)
        self.seconds += time.perf_counter() - since
        self.said = [*(self.said or []), *found]


def questions_of(assembly: Assembly, asked: Sequence[Example], folder: Path) -> list[Question]:
    """As the pipeline would ask them of all texts."""
    known = some(clinc("train", oos=False), 3)
    train(known, space_of(known), out=folder, options=TrainingOptions(language="en"), assembly=assembly)
    pipeline = assembly.pipeline(folder)
    evidence = pipeline.gather([example.text for example in asked], FOREVER)
    labels, shots = pipeline.labels.labels, pipeline.retrieval.index.shots
    ranked = np.argsort(-pipeline.fuser.fuse(evidence)[:, :-1], axis=1)[:, :N_VOTED].tolist()
    return [
        Question(text, tuple(labels[column] for column in columns), shots.shots(columns[0])[:N_SHOTS])
        for text, columns in zip(evidence.texts, ranked, strict=True)
    ]


def best(questions: Sequence[Question], votes: Sequence[Vote | None]) -> list[str]:
    return [
        spoken(question.candidates[int(vote.probs.argmax())].name) if vote else ""
        for question, vote in zip(questions, votes, strict=True)
    ]


def raced(path: Path, questions: Sequence[Question], gold: Sequence[str], table: Table, case: str) -> None:
    """Each way in turns on the same blocks; the first is ours."""
    library = silent_llama_cpp()
    voter = LlmVoter(LlamaModel(path), Continued(load_prompt("en"), N_SHOTS, explains=True), NoAnswers())
    evaluated: list[int] = []

    def ours(block: Sequence[Question]) -> list[str]:
        votes = voter.vote(block, deadline=FOREVER)
        evaluated.extend(vote.tokens for vote in votes if vote)
        return best(block, votes)

    chats = [
        Chat(library.Llama(str(path), n_ctx=2048, n_threads=2, verbose=False), library.LlamaGrammar, caches)
        for caches in (False, True)
    ]
    courses = [
        Course("votes", ours),
        Course("chat completion", lambda block: [chats[0].answer(one) for one in block]),
        Course("chat completion, beginning kept", lambda block: [chats[1].answer(one) for one in block]),
    ]
    for start in range(0, len(questions), BLOCK):
        for course in courses:
            course.run(questions[start : start + BLOCK])
    right = [np.array([said == name for said, name in zip(c.said, gold, strict=True)], np.float32) for c in courses]
    for course, of in zip(courses, right, strict=True):
        tokens = sum(evaluated) if course is courses[0] else chats[courses.index(course) - 1].tokens
        table.add_row(
            case, course.name, f"{len(questions) / course.seconds:.2f}", f"{course.seconds / courses[0].seconds:.1f}",
            f"{of.mean():.3f}", interval(right[0] - of) if course is not courses[0] else "",
            f"{tokens / len(questions):.0f}",
        )  # fmt: skip
        print(case, course.name, f"{course.seconds / courses[0].seconds:.1f}", of.mean(), file=sys.stderr, flush=True)
    for chat in chats:
        chat.llm.close()


def plain_rate(path: Path) -> float:
    """Tokens a second of one long prompt."""
    model = LlamaModel(path)
    prompt = Part("the message asks for something else than the one before it " * 60)
    model.score([Prompted((Part("warm"),), (" up",))], deadline=FOREVER)
    since = time.perf_counter()
    (scored,) = model.score([Prompted((prompt,), (" yes",))], deadline=FOREVER)
    return (scored.tokens if scored else 0) / (time.perf_counter() - since)


def main() -> None:
    configure_logs("WARNING")
    assembly = Assembly(load_settings())
    own = WeightStore(assembly.settings.models_dir).path(load_profile("embedded").voters[0])
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else own
    n_texts = int(sys.argv[2]) if len(sys.argv) > 2 else N_TEXTS
    asked = drawn(clinc("test", oos=False), n_texts)
    table = Table(
        "prompt", "way", "texts/s", "time, against votes", "right", "votes against it, points", "tokens a text"
    )
    with tempfile.TemporaryDirectory() as folder:
        questions = questions_of(assembly, asked, Path(folder) / "model")
    raced(path, questions, [spoken(example.label) for example in asked], table, "10 candidates, 8 examples")
    labels = constant_labels()
    names = {label.value for label in labels}
    of_them = drawn([example for example in clinc("test", oos=False) if example.label in names], n_texts)
    constant = [Question(example.text, labels, explained=labels) for example in of_them]
    title = f"{N_CONSTANT} labels with descriptions"
    raced(path, constant, [spoken(example.label) for example in of_them], table, title)
    table.box, table.header_style, table.pad_edge = None, "bold", False
    Console(width=160).print(table)
    print(f"plain rate of the model: {plain_rate(path):.0f} tokens/s in batches of {BATCH_TOKENS}")


def drawn(examples: Sequence[Example], n: int) -> list[Example]:
    return [examples[at] for at in np.random.default_rng(1).permutation(len(examples))[:n].tolist()]


def constant_labels() -> tuple[Label, ...]:
    known = clinc("train", oos=False)
    values = sorted({example.label for example in known})
    chosen = [values[at] for at in np.random.default_rng(1).permutation(len(values))[:N_CONSTANT].tolist()]
    hints = {value: [example.text for example in known if example.label == value][:2] for value in chosen}
    return tuple(Label(value, value, "; ".join(texts)) for value, texts in hints.items())


if __name__ == "__main__":
    main()
