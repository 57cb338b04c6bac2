"""How often a model on a server names the right one of ten labels, and how long that takes.

    PRELABEL_TEST_DATA=<folder> python -m benchmarks.server_votes openai:http://127.0.0.1:8080/v1#qwen [SERVER]

Asks about 60 texts of CLINC150, each with its label and nine random others, names only, one after the other. SERVER is
`vllm`, `llama.cpp` or `any`; see docs/servers.md. PRELABEL_LLM_API_KEY is the server's key, where it asks for one.
"""

import random
import sys
import time

import numpy as np
from rich.console import Console

from backend.assembly import open_server
from backend.core.deadline import FOREVER
from backend.core.profiles import SERVER_KIND, ModelSpec
from backend.core.settings import load_settings
from backend.pipeline.chat_vote import load_chat_voter
from backend.pipeline.question import Question
from benchmarks.datasets import clinc, space_of

N_TEXTS, N_CANDIDATES = 60, 10
SEED = 7


def questions() -> tuple[list[Question], list[int]]:
    """What is asked, and which candidate is right."""
    examples = clinc("test", oos=False)
    labels = {label.value: label for label in space_of(examples).labels}
    rng = random.Random(SEED)
    asked, right = [], []
    for example in rng.sample(examples, N_TEXTS):
        names = [example.label, *rng.sample(sorted(labels.keys() - {example.label}), N_CANDIDATES - 1)]
        rng.shuffle(names)
        asked.append(Question(example.text, tuple(labels[name] for name in names)))
        right.append(names.index(example.label))
    return asked, right


def main(uri: str, way: str = "any") -> None:
    options = {"server": way, "concurrency": 1, "timeout_s": 300.0}
    server = open_server(ModelSpec(SERVER_KIND, uri, options=options), load_settings())
    voter = load_chat_voter(server, language="en")
    asked, right = questions()
    began = time.perf_counter()
    votes = voter.vote(asked, deadline=FOREVER)
    took_s = time.perf_counter() - began
    cast = [(vote, answer) for vote, answer in zip(votes, right, strict=True) if vote is not None]
    hits = sum(int(vote.probs.argmax()) == answer for vote, answer in cast)
    surprise = -np.mean([np.log(vote.probs[answer]) for vote, answer in cast]) if cast else np.nan
    a_text_s, tokens = took_s / len(asked), server.tally.tokens_read / len(asked)
    Console(soft_wrap=True).print(
        f"{voter.name}: {len(cast)} votes on {len(asked)} texts, right {hits / len(asked):.2f}, "
        f"log loss {surprise:.2f}, {a_text_s:.2f} s and {tokens:.0f} tokens a text"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
