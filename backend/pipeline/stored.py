"""The files of an index: examples as JSON lines, vectors as safetensors. What can be rebuilt quickly is not stored."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from backend.core.types import Example, FloatArray, LabelSpace
from backend.pipeline.dense import FaissIndex
from backend.pipeline.lexical import Stemmer
from backend.pipeline.retrieve import Index, Indexer

HALF = "backslashreplace"  # half a character (a lone surrogate) has no UTF-8; in JSON this writes its escape
EXAMPLES, VECTORS = "examples.jsonl", "vectors.safetensors"


def save_index(folder: Path, examples: Iterable[Example], labels: FloatArray, vectors: FloatArray) -> None:
    """Write examples and their vectors, in the same order, and the vectors of the labels."""
    with (folder / EXAMPLES).open("w", encoding="utf-8", errors=HALF) as file:
        file.writelines(json.dumps(asdict(example), ensure_ascii=False) + "\n" for example in examples)
    tensors = {"labels": np.ascontiguousarray(labels), "examples": np.ascontiguousarray(vectors)}
    (folder / VECTORS).write_bytes(save(tensors))


def load_index(
    folder: Path, space: LabelSpace, *, indexer: Indexer = FaissIndex.of, stemmer: Stemmer | None = None
) -> Index:
    """The index of a model folder; see Index.of."""
    vectors = load_file(folder / VECTORS)
    examples = list(read_examples(folder))
    return Index.of(space, vectors["labels"], examples, vectors["examples"], indexer=indexer, stemmer=stemmer)


def read_vectors(folder: Path) -> FloatArray:
    """(n_examples, dim), of the examples in their order."""
    vectors: FloatArray = load_file(folder / VECTORS)["examples"]
    return vectors


def read_examples(folder: Path) -> Iterator[Example]:
    """The examples that a model's index holds."""
    with (folder / EXAMPLES).open(encoding="utf-8") as file:
        for line in file:
            yield Example(**json.loads(line))
