"""An embedder that torch loads, as an ONNX graph: exported once, beside the weights, and only if it says the same.

The graph is the same embedder: what was trained with one goes on with the other.
"""

import importlib
import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from backend.core.artefacts import publishing, sha256_of, write_atomically
from backend.core.disk import hand_over
from backend.core.errors import ArtefactError, MissingExtraError
from backend.core.types import FloatArray
from backend.models.neutral import NEUTRAL
from backend.models.onnx import BATCH, OnnxEngine, load_engine, mean, onnx_runtime, side_by_side

TOLERANCE = 1e-4  # largest difference of a coordinate of unit vectors; rounding gives some 1e-7
GRAPH, TOKENIZER, RECORD = "model.onnx", "tokenizer.json", "export.json"
FORMAT = 2  # raise it with any change of how a graph is made
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
INSTALL = "pip install onnx onnxscript onnxruntime"


def exported(model: Any, source: Path, folder: Path, *, layers: tuple[int, ...] = ()) -> OnnxEngine:
    """The ONNX engine of a loaded sentence-transformers model; its graph is made where it is not there yet.

    Args:
        source: the model's own folder.
        folder: where the graph lies or will lie, whole or not at all.
        layers: whose vectors stand beside the last one's.

    Raises:
        MissingExtraError: a library that exports or runs graphs is not installed.
        ArtefactError: the model cannot be exported, or the graph says something else.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if (found := opened(source, folder, layers=layers)) is not None:
            return found
        for left in (folder, *folder.parent.glob(f".{folder.name}-*/")):  # damaged, or left by a killed process
            shutil.rmtree(left, ignore_errors=True)
        pooling, max_tokens = layout(model)
        with publishing(folder) as unfinished:
            export(model, unfinished / GRAPH, layers)
            shutil.copyfile(source / TOKENIZER, unfinished / TOKENIZER)
            engine = load_engine(unfinished, file=GRAPH, pooling=pooling, max_tokens=max_tokens, layers=layers)
            require_parity(model, engine)
            made = {**_record(source, unfinished, layers), "pooling": pooling, "max_tokens": max_tokens}
            write_atomically(unfinished / RECORD, json.dumps(made))
        hand_over(folder)
    return load_engine(folder, file=GRAPH, pooling=pooling, max_tokens=max_tokens, layers=layers)


def opened(source: Path, folder: Path, *, layers: tuple[int, ...] = ()) -> OnnxEngine | None:
    """The engine of a graph that was exported from these very weights and is unchanged; None where there is none."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    expected = _record(source, folder, layers)
    if {name: record.get(name) for name in expected} != expected:
        return None
    pooling, max_tokens = str(record["pooling"]), int(record["max_tokens"])
    return load_engine(folder, file=GRAPH, pooling=pooling, max_tokens=max_tokens, layers=layers)


def _record(source: Path, folder: Path, layers: tuple[int, ...]) -> dict[str, Any]:
    return {"format": FORMAT, "source": origin(source), "files": checksums(folder), "layers": list(layers)}


def layout(model: Any) -> tuple[str, int]:
    """Pooling and length of a model that is an encoder, a pooling and a normalisation, and nothing else.

    Raises:
        ArtefactError: it has other parts.
    """
    kinds = [type(part).__name__ for part in model]
    if kinds[:2] != ["Transformer", "Pooling"] or set(kinds[2:]) - {"Normalize"}:
        raise ArtefactError(f"a model to export must be an encoder and a pooling, has {', '.join(kinds)}; use torch")
    pooling = str(model[1].get_config_dict().get("pooling_mode", "mean"))
    if pooling not in ("mean", "cls"):
        raise ArtefactError(f"a model to export must pool by mean or cls, pools by {pooling}; use torch")
    return pooling, int(model.max_seq_length)


def origin(source: Path) -> str:
    """The checksum of the weights that a graph was made from."""
    return sha256_of(source / "model.safetensors")


def checksums(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.name != RECORD}


def export(model: Any, path: Path, layers: tuple[int, ...]) -> None:
    """Write the encoder's graph: token ids to a vector a token and layer, for any number of texts and tokens."""
    import torch

    onnx_runtime()  # first of all: torch's exporter loads it, too
    for library in ("onnx", "onnxscript"):
        try:
            importlib.import_module(library)
        except ImportError as err:
            raise MissingExtraError(f"an ONNX graph needs {library}, which is not installed; run `{INSTALL}`") from err
    encoder = encoder_of(model)
    names = [name for name in INPUTS if name != "token_type_ids" or encoder.config.type_vocab_size > 1]
    ids = torch.ones((2, 9), dtype=torch.long)
    free = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens", max=int(model.max_seq_length))}
    with silently():
        program = torch.onnx.export(
            tokens_of(encoder, names, layers), args=(ids, torch.ones_like(ids), torch.zeros_like(ids))[: len(names)],
            dynamo=True, input_names=names,
            output_names=["tokens", *(f"layer_{layer}" for layer in layers)], dynamic_shapes=((free,) * len(names),),
            verbose=False,
        )  # fmt: skip
        if program is None:
            raise ArtefactError("a model to export must yield a graph, but does not; use torch")
        program.save(str(path))


def encoder_of(model: Any) -> Any:
    """What turns token ids into a vector a token and layer."""
    return model[0].model if hasattr(model[0], "model") else model[0].auto_model


def states_of(encoder: Any, inputs: Mapping[str, Any], layers: tuple[int, ...]) -> tuple[Any, ...]:
    """The tokens of the last layer, then of `layers`, counted from 1."""
    read = encoder(**inputs, output_hidden_states=True)
    return (read.last_hidden_state, *(read.hidden_states[layer] for layer in layers))


def layered(model: Any, texts: Sequence[str], layers: tuple[int, ...]) -> FloatArray:
    """(n_texts, dim * n_layers) as torch computes them: the last layer's vectors, then those of `layers`."""
    import torch

    if not layers:
        last = model.encode(list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(last, np.float32)
    pooling, max_tokens = layout(model)
    parts: list[FloatArray] = []
    for start in range(0, len(texts), BATCH):
        tokens = model.tokenizer(
            list(texts[start : start + BATCH]), padding=True, truncation=True, max_length=max_tokens,
            return_tensors="pt",
        )  # fmt: skip
        with torch.inference_mode():
            states = [state.numpy() for state in states_of(encoder_of(model), tokens, layers)]
        mask = tokens["attention_mask"].numpy()
        parts.append(side_by_side([state[:, 0] if pooling == "cls" else mean(state, mask) for state in states]))
    return np.concatenate(parts)


def tokens_of(encoder: Any, names: list[str], layers: tuple[int, ...]) -> Any:
    """The encoder as a module: positional inputs in, the tokens of the last layer and of `layers` out."""
    import torch

    class Tokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, *inputs: Any) -> Any:
            return states_of(self.encoder, dict(zip(names, inputs, strict=True)), layers)

    return Tokens().eval()


@contextmanager
def silently() -> Iterator[None]:
    """The exporter warns of what it lacks for other models."""
    loud = logging.getLogger("torch.onnx")
    level = loud.level
    loud.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        loud.setLevel(level)


def require_parity(model: Any, engine: OnnxEngine) -> None:
    """Raises: ArtefactError: the two differ by more than TOLERANCE on any of our neutral texts, long ones included."""
    texts = [text for texts in NEUTRAL.values() for text in texts]
    texts += [" ".join(texts), "", "a"]
    difference = float(np.abs(engine.encode(texts) - layered(model, texts, engine.layers)).max())
    if not difference <= TOLERANCE:
        raise ArtefactError(
            f"a graph must yield the model's vectors within {TOLERANCE}, differs by {difference:.1g}; use torch"
        )
