"""How right the labels are and how far their confidence can be trusted: the table of the README.

    PRELABEL_TEST_DATA=<folder> PRELABEL_HOME=<folder with fetched weights> python -m benchmarks.quality [part ...]

Parts: clinc, known, massive, noise, names, ablation, calibration, missing; all of them without one. Language models
are off. Models train on train splits; validation splits are gold (never trained on) and give the one threshold that is
asked for; test splits are only judged on. The same defaults stand for all data sets. Intervals are bootstraps over test
texts (95 %).
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command sets it; idle threads would spin

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, hstack
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.svm import LinearSVC

from backend.assembly import Assembly
from backend.core.artefacts import read_manifest
from backend.core.deadline import FOREVER
from backend.core.settings import load_settings
from backend.core.types import BoolArray, Decision, Example, FloatArray, IntArray, LabelSpace
from backend.logs import configure_logs
from backend.models.kernel import Terms
from backend.pipeline.evidence import Evidence
from backend.pipeline.fuse import Fuser
from backend.pipeline.gate import THRESHOLDS, Gate
from backend.pipeline.pipeline import CHUNK, Pipeline
from backend.pipeline.retrieve import columns_of
from benchmarks.datasets import OOS, clinc, massive, space_of
from training.evaluate import RETENTION, ece
from training.missing import groups_of, limit_of, outside
from training.pool import softmax
from training.run import TrainingOptions, train

N_BOOTSTRAPS = 1000
WRONG = 0.2  # share of labels in the index that are replaced by another one, drawn evenly
K_CANDIDATES = 10
PRIOR_ROWS = 10.0  # that a label is taken to have had as often as was said of it
N_LEFT_OUT = 15  # labels that are taken away, to be found as groups
Strings = npt.NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said about some texts, beside what is right."""

    labels: Strings  # (n,), right
    best: Strings  # (n,), predicted label or out-of-scope
    confidence: FloatArray
    p_out_of_scope: FloatArray
    alternatives: tuple[tuple[str, ...], ...]  # labels, best first

    @classmethod
    def of(cls, examples: Sequence[Example], decisions: Sequence[Decision]) -> "Answers":
        return cls(
            np.array([example.label for example in examples], object),
            np.array([decision.predicted_label for decision in decisions], object),
            np.array([decision.confidence for decision in decisions], np.float32),
            np.array([decision.p_out_of_scope for decision in decisions], np.float32),
            tuple(tuple(one.label for one in decision.alternatives) for decision in decisions),
        )

    @property
    def right(self) -> BoolArray:
        return np.asarray(self.labels == self.best, np.bool_)

    @property
    def outside(self) -> BoolArray:
        return np.asarray(self.labels == OOS, np.bool_)

    def within(self, k: int) -> BoolArray:
        """Where the right label is among the first k."""
        return np.array([label in said[:k] for label, said in zip(self.labels, self.alternatives, strict=True)])


class Sheet:
    """The table as it grows."""

    def __init__(self) -> None:
        self.table = Table("figure", "value", "95 %", "reach", box=None, header_style="bold", pad_edge=False)

    def row(self, name: str, values: FloatArray | float, reach: str = "") -> None:
        """A mean with its interval, or a single number."""
        if isinstance(values, float):
            self.table.add_row(name, f"{values:.4f}", "", reach)
            return
        draws = np.random.default_rng(0).integers(0, len(values), (N_BOOTSTRAPS, len(values)))
        low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
        self.table.add_row(name, f"{values.mean():.4f}", f"{low:.3f}-{high:.3f}", reach)

    def say(self, name: str, value: str, reach: str = "") -> None:
        self.table.add_row(name, value, "", reach)


@dataclass(frozen=True)
class Bench:
    assembly: Assembly
    folder: Path
    sheet: Sheet

    def pipeline(self, examples: Sequence[Example], space: LabelSpace, language: str, *, name: str,
                 gold: Sequence[Example] = ()) -> Pipeline:  # fmt: skip
        """Trained on the examples; the seconds that took are kept beside the figures."""
        began = time.perf_counter()
        options = TrainingOptions(language=language)
        train(examples, space, out=self.folder / name, options=options, assembly=self.assembly, gold=gold)
        self.sheet.say(f"{name}: training on {len(examples)} texts, s", f"{time.perf_counter() - began:.0f}")
        return self.assembly.pipeline(self.folder / name, llm=False)

    def limit(self, name: str) -> float:
        """From which `missing-labels` takes a text for one that resembles no label."""
        return limit_of(read_manifest(self.folder / name), self.folder / name)

    def answers(self, pipeline: Pipeline, examples: Sequence[Example]) -> Answers:
        decisions = pipeline.run([example.text for example in examples], deadline_s=float("inf"))
        return Answers.of(examples, [decision for decision in decisions if decision is not None])

    def vectors(self, examples: Sequence[Example], language: str) -> FloatArray:
        return self.assembly.embedder(language).embed([example.text for example in examples])


def baselines(bench: Bench, known: Sequence[Example], asked: Sequence[Example], language: str, name: str) -> None:
    """What an hour brings: linear models over the plain embedding, over words and letters, and over both."""
    lead = bench.assembly.embedder(language).lead
    X, Z = (bench.vectors(part, language)[:, :lead] for part in (known, asked))
    terms = Terms.fit([example.text for example in known], min_df=2)
    A, B = (terms.transform([example.text for example in part]) for part in (known, asked))
    y, right = (np.array([example.label for example in part], object) for part in (known, asked))
    inside = right != OOS
    regression = LogisticRegression(C=30, max_iter=300, tol=1e-4).fit(X, y.astype(str))
    machine = LinearSVC(C=0.5).fit(csr_matrix(hstack([A, csr_matrix(X)])), y.astype(str))
    words = LinearSVC(C=0.5).fit(A, y.astype(str))
    for title, said in (
        ("logistic regression on the embedding", regression.predict(Z)),
        ("linear SVM on words and letters", words.predict(B)),
        ("linear SVM on both", machine.predict(csr_matrix(hstack([B, csr_matrix(Z)])))),
    ):
        bench.sheet.row(f"{name}: accuracy, baseline {title}", (said == right)[inside].astype(np.float32))


def clinc_part(bench: Bench) -> None:
    known, gold, asked = clinc("train"), clinc("val"), clinc("test")
    space = space_of(known, oos=True)
    pipeline = bench.pipeline(known, space, "en", name="CLINC150", gold=gold)
    said = bench.answers(pipeline, asked)
    _scope(bench, pipeline, said, gold, "CLINC150", reach=(">= 0.985", ">= 0.92"))
    bench.sheet.row("CLINC150: in-scope accuracy", said.right[~said.outside].astype(np.float32), ">= 0.970")
    bench.sheet.row("CLINC150: ECE, whole test", float(ece(said.right, said.confidence)), "<= 0.025")
    inside = ~said.outside
    bench.sheet.row("CLINC150: ECE, in-scope texts of it", float(ece(said.right[inside], said.confidence[inside])))
    baselines(bench, known, asked, "en", "CLINC150")
    unknowing = [example for example in known if example.label != OOS]
    inside_gold = [example for example in gold if example.label != OOS]
    blind = bench.pipeline(unknowing, space, "en", name="CLINC150 without such examples", gold=inside_gold)
    said = bench.answers(blind, asked)
    _scope(bench, blind, said, gold, "CLINC150 without such examples", reach=(">= 0.978", ">= 0.88"))


def known_part(bench: Bench) -> None:
    """A project whose texts are all in scope, and that has no choice for others."""
    known, gold, asked = (clinc(split, oos=False) for split in ("train", "val", "test"))
    said = bench.answers(bench.pipeline(known, space_of(known), "en", name="CLINC150 in-scope", gold=gold), asked)
    bench.sheet.row("CLINC150 in-scope only: accuracy", said.right.astype(np.float32), ">= 0.970")
    bench.sheet.row("CLINC150 in-scope only: ECE", float(ece(said.right, said.confidence)), "<= 0.010")


def _scope(bench: Bench, pipeline: Pipeline, said: Answers, gold: Sequence[Example], name: str,
           *, reach: tuple[str, str]) -> None:  # fmt: skip
    """How well texts without a label are told; the threshold keeps RETENTION of the gold texts that have one."""
    kept = bench.answers(pipeline, [example for example in gold if example.label != OOS])
    threshold = float(np.quantile(kept.p_out_of_scope, RETENTION))
    bench.sheet.row(f"{name}: out-of-scope AUROC", float(roc_auc_score(said.outside, said.p_out_of_scope)), reach[0])
    found = said.p_out_of_scope > threshold
    bench.sheet.row(f"{name}: out-of-scope recall", found[said.outside].astype(np.float32), reach[1])
    bench.sheet.row(f"{name}: retention at that threshold", (~found)[~said.outside].astype(np.float32))


def massive_part(bench: Bench) -> None:
    """Each language alone, then both as one project."""
    splits = {language: [massive(language, split) for split in ("train", "dev", "test")] for language in ("en", "ru")}
    alone: dict[str, float] = {}
    for language, (known, gold, asked) in splits.items():
        name = f"MASSIVE-{language}"
        said = bench.answers(bench.pipeline(known, space_of(known), language, name=name, gold=gold), asked)
        macro = f1_score(said.labels.astype(str), said.best.astype(str), average="macro", zero_division=0)
        alone[language] = float(said.right.mean())
        bench.sheet.row(f"{name}: accuracy", said.right.astype(np.float32), ">= 0.880" if language == "ru" else "")
        bench.sheet.row(f"{name}: macro F1", float(macro))
        bench.sheet.row(f"{name}: ECE", float(ece(said.right, said.confidence)), "<= 0.015")
        baselines(bench, known, asked, language, name)
    known, gold = ([*splits["en"][part], *splits["ru"][part]] for part in (0, 1))
    both = bench.pipeline(known, space_of(known), "mixed", name="MASSIVE en+ru", gold=gold)
    for language, (_, _, asked) in splits.items():
        said = bench.answers(both, asked)
        bench.sheet.row(f"MASSIVE en+ru: accuracy on {language}", said.right.astype(np.float32))
        change = float(said.right.mean()) - alone[language]
        bench.sheet.say(f"MASSIVE en+ru: against {language} alone", f"{100 * change:+.2f} points", "within 0.5")


def noise_part(bench: Bench) -> None:
    known, asked = clinc("train", oos=False), clinc("test", oos=False)
    generator, values = np.random.default_rng(0), space_of(known).values
    noisy = [
        replace(example, label=str(generator.choice([value for value in values if value != example.label])))
        if generator.random() < WRONG else example for example in known
    ]  # fmt: skip
    said = bench.answers(bench.pipeline(noisy, space_of(known), "en", name="CLINC150, 20 % wrong"), asked)
    found = said.within(K_CANDIDATES).astype(np.float32)
    bench.sheet.row("20 % wrong labels: candidate recall at 10", found, ">= 0.997")
    bench.sheet.row("20 % wrong labels: accuracy", said.right.astype(np.float32))


def names_part(bench: Bench) -> None:
    """No label given yet: from names alone, and with unlabelled texts of the project beside them."""
    for title, language, asked, pool in (
        ("CLINC150", "en", clinc("test", oos=False), clinc("train", oos=False)),
        ("MASSIVE-ru", "ru", massive("ru", "test"), massive("ru", "train")),
    ):
        space = space_of(pool)
        for name, texts in (("names only", []), ("and 2,000 unlabelled texts", [one.text for one in pool[::7]][:2000])):
            out = self_named(bench, space, language, f"{title} {name}", texts)
            said = bench.answers(out, asked)
            reach = (">= 0.75", ">= 0.96") if title == "CLINC150" else ("", "")
            bench.sheet.row(f"{title} from {name}: top 1", said.within(1).astype(np.float32), reach[0])
            bench.sheet.row(f"{title} from {name}: top 10", said.within(10).astype(np.float32), reach[1])


def self_named(bench: Bench, space: LabelSpace, language: str, name: str, pool: Sequence[str]) -> Pipeline:
    options = TrainingOptions(language=language)
    train([], space, out=bench.folder / name, options=options, assembly=bench.assembly, pool=pool)
    return bench.assembly.pipeline(bench.folder / name, llm=False)


def ablation_part(bench: Bench) -> None:
    """What the fused confidence owes to each finding: left out after fitting, on validation texts."""
    for title, language, known, asked, oos in (
        ("CLINC150", "en", clinc("train"), clinc("val"), True),
        ("MASSIVE-ru", "ru", massive("ru", "train"), massive("ru", "dev"), False),
    ):
        space = space_of(known, oos=oos)
        pipeline = bench.pipeline(known, space, language, name=f"{title} ablated", gold=asked)
        pipeline = replace(pipeline, gate=Gate(dict.fromkeys(THRESHOLDS, 2.0)))  # every level looks at every text
        evidence = Evidence.joined(_gathered(pipeline, asked))
        columns = columns_of(asked, space)
        for name, said in _ablated(pipeline.fuser, evidence).items():
            inside, right = columns < len(space), said[:, :-1].argmax(axis=1) == columns
            bench.sheet.row(f"{title}, {name}: accuracy within scope", right[inside].astype(np.float32))
            if oos:
                bench.sheet.row(f"{title}, {name}: out-of-scope AUROC", float(roc_auc_score(~inside, said[:, -1])))


def calibration_part(bench: Bench) -> None:
    """What a further calibration of the fused scores would bring: fitted on validation texts, judged on test texts."""
    for title, language, known, gold, asked in (
        ("CLINC150", "en", clinc("train"), clinc("val"), clinc("test")),
        ("MASSIVE-ru", "ru", massive("ru", "train"), massive("ru", "dev"), massive("ru", "test")),
    ):
        space = space_of(known, oos=title == "CLINC150")
        pipeline = bench.pipeline(known, space, language, name=f"{title} calibrated", gold=gold)
        fitted, judged = (columns_of(part, space) for part in (gold, asked))
        before, after = (_fused(pipeline, part) for part in (gold, asked))
        for name, said in _calibrated(before, fitted, after).items():
            right, place = said.argmax(axis=1) == judged, np.arange(len(judged))
            bench.sheet.row(f"{title}, {name}: ECE", float(ece(right, said.max(axis=1))))
            likelihood = -np.log(np.maximum(said[place, judged], 1e-9)).mean()
            bench.sheet.row(f"{title}, {name}: negative log likelihood", float(likelihood))


def missing_part(bench: Bench) -> None:
    """Labels that were taken away, found again among test texts by `prelabel missing-labels`; three draws each."""
    for title, language, known, asked in (
        ("CLINC150", "en", clinc("train", oos=False), clinc("test", oos=False)),
        ("MASSIVE-ru", "ru", massive("ru", "train"), massive("ru", "test")),
    ):
        for seed in range(3):
            drawn = np.random.default_rng(seed).choice(space_of(known).values, N_LEFT_OUT, replace=False)
            _found_again(bench, f"{title} less {N_LEFT_OUT}, draw {seed}", language, known, asked, set(drawn.tolist()))


def _found_again(
    bench: Bench, name: str, language: str, known: Sequence[Example], asked: Sequence[Example], gone: set[str]
) -> None:
    kept = [example for example in known if example.label not in gone]
    pipeline = bench.pipeline(kept, space_of(kept, oos=True), language, name=name)
    decisions = pipeline.run([example.text for example in asked], deadline_s=float("inf"))
    rows = outside([each for each in decisions if each is not None], bench.limit(name))
    texts, labels = [asked[row].text for row in rows], [asked[row].label for row in rows]
    embedder = bench.assembly.embedder(language)
    counts = [Counter(labels[row] for row in group.rows) for group in groups_of(texts, embedder.embed(texts), embedder)]
    main = [(*count.most_common(1)[0], count.total()) for count in counts]
    found = {label for label, n, whole in main if label in gone and 2 * n >= whole}
    asked_for = {label for label, n in Counter(example.label for example in asked).items() if label in gone and n >= 5}
    rightly = np.array([label in gone for label in labels], np.float32)
    if len(rightly):
        bench.sheet.row(f"{name}: share of the texts outside that are", rightly)
    bench.sheet.say(f"{name}: groups; labels that are most of one", f"{len(main)}; {len(found)} of {len(asked_for)}")
    one_label = np.array([n / whole for _, n, whole in main], np.float32)
    if len(one_label):
        bench.sheet.row(f"{name}: share of a group that is one label", one_label)


def _calibrated(fitted: FloatArray, columns: IntArray, judged: FloatArray) -> dict[str, FloatArray]:
    """Probabilities as they are served, and by temperature, vector scaling and isotonic regression on top of that."""
    logits, asked = (np.log(np.maximum(probs, 1e-9)) for probs in (fitted, judged))
    place, sure = np.arange(len(columns)), fitted.max(axis=1)

    def loss(power: float) -> float:
        return float(-np.log(softmax(np.asarray(power * logits, np.float32))[place, columns] + 1e-9).mean())

    temperature = float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x)
    shifts = np.log((np.bincount(columns, minlength=fitted.shape[1]) + PRIOR_ROWS * fitted.mean(axis=0))
                    / (len(columns) * fitted.mean(axis=0) + PRIOR_ROWS * fitted.mean(axis=0)))  # fmt: skip
    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(sure, fitted.argmax(axis=1) == columns)
    best = judged.max(axis=1, keepdims=True)
    bent = np.clip(curve.predict(best[:, 0]), 1e-6, 1 - 1e-6)[:, None].astype(np.float32)
    rest = judged * (1 - bent) / np.maximum(1 - best, 1e-9)
    return {
        "as served": judged,
        "temperature": softmax(np.asarray(temperature * asked, np.float32)),
        "vector": softmax(np.asarray(temperature * asked + shifts, np.float32)),
        "isotonic": np.where(judged == best, bent, rest),
    }


def _gathered(pipeline: Pipeline, examples: Sequence[Example]) -> list[Evidence]:
    """Of a chunk after the other; a level that no text of a chunk needs leaves no findings in it."""
    texts = [example.text for example in examples]
    return [pipeline.gather(texts[at : at + CHUNK], FOREVER) for at in range(0, len(texts), CHUNK)]


def _fused(pipeline: Pipeline, examples: Sequence[Example]) -> FloatArray:
    """(n_examples, n_labels + 1)."""
    return np.concatenate([pipeline.fuser.fuse(evidence) for evidence in _gathered(pipeline, examples)])


def _ablated(fuser: Fuser, evidence: Evidence) -> dict[str, FloatArray]:
    """Probabilities with everything, and without each finding."""
    found = {"all": fuser.fuse(evidence), "without the classifier": fuser.fuse(evidence.before("classifier"))}
    for kind in ("weights", "signs"):
        stage = getattr(fuser, kind)["classify"]
        for name in [name for name, weight in stage.items() if weight and name not in ("bias", "classifier")]:
            changed: dict[str, Any] = {kind: {**getattr(fuser, kind), "classify": {**stage, name: 0.0}}}
            if kind == "signs" or name in evidence.names:
                found[f"without {name}"] = replace(fuser, **changed).fuse(evidence)
    return found


PARTS: dict[str, Callable[[Bench], None]] = {
    "clinc": clinc_part, "known": known_part, "massive": massive_part, "noise": noise_part, "names": names_part,
    "ablation": ablation_part, "calibration": calibration_part,
    "missing": missing_part,
}  # fmt: skip


def main() -> None:
    configure_logs("WARNING")
    sheet = Sheet()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Assembly(load_settings()), Path(folder), sheet)
        for name in sys.argv[1:] or PARTS:
            PARTS[name](bench)
    Console(width=160).print(sheet.table)


if __name__ == "__main__":
    main()
