"""Labels that may be missing: groups of what resembles no label, found again from what was left out."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from backend.assembly import Assembly
from backend.core.artefacts import Manifest
from backend.core.types import DataFingerprint, Label, LabelSpace
from backend.pipeline.retrieve import embed_texts
from tests.training.material import examples_of, texts_of
from training.missing import FEWEST, groups_of, limit_of, outside
from training.out_of_fold import OUT_OF_FOLD
from training.run import TrainingOptions, train

ODD = ["zebra", "the invoice of may", "a song about rain"]


def test_texts_of_one_kind_are_one_group_which_its_words_and_texts_show(assembly: Assembly) -> None:
    embedder = assembly.embedder("en")
    kinds = {label: texts_of(label, 12) for label in ("cancel_order", "lost_card")}
    texts = [*kinds["cancel_order"], *ODD, *kinds["lost_card"]]
    vectors = embed_texts(texts, embedder, np.zeros((0, embedder.dim), np.float32))
    first, second = groups_of(texts, vectors, embedder)[:2]
    found = {frozenset(texts[row] for row in group.rows) for group in (first, second)}
    assert found == {frozenset(kinds["cancel_order"]), frozenset(kinds["lost_card"])}
    for group in (first, second):
        own = {texts[row] for row in group.rows}
        assert set(group.typical) <= own
        assert all(any(word in text.split() for text in own) for word in group.words)
    assert {word for group in (first, second) for word in group.words} & {"cancel", "order"}


def test_a_few_texts_are_no_group(assembly: Assembly) -> None:
    embedder = assembly.embedder("en")
    texts = ODD[: FEWEST - 1]
    assert groups_of(texts, embed_texts(texts, embedder, np.zeros((0, embedder.dim), np.float32)), embedder) == []
    assert groups_of([], np.zeros((0, embedder.dim), np.float32), embedder) == []


def model(folder: Path, said: Sequence[float], *, share: float, oos: Sequence[float] = ()) -> float:
    """The limit of a model that assumes a share and said this of its examples unseen."""
    lines = [{"label": "a", "p_out_of_scope": p} for p in said]
    lines += [{"label": "other", "p_out_of_scope": p} for p in oos]
    (folder / OUT_OF_FOLD).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    space = LabelSpace((Label("a", "a"),), "other")
    data = DataFingerprint(len(lines), 2, "")
    manifest = Manifest(
        "pl-1",
        "",
        space,
        "embedded",
        "en",
        "kernel",
        data,
        {},
        "none",
        {"assumed_share": share},
        0,
        "",
    )
    return limit_of(manifest, folder)


def test_the_limit_follows_the_share_that_a_model_assumes(tmp_path: Path) -> None:
    doubtful = [0.9] * 200
    limits = [model(tmp_path, doubtful, share=share) for share in (0.005, 0.01, 0.1)]
    odds = [limit / (1 - limit) for limit in limits]
    assert np.allclose(
        [one / (share / (1 - share)) for one, share in zip(odds, (0.005, 0.01, 0.1), strict=True)],
        5,
    )


def test_where_labels_are_clear_the_limit_is_what_one_accepted_text_in_a_hundred_exceeds(
    tmp_path: Path,
) -> None:
    clear = [n / 100_000 for n in range(200)]
    assert model(tmp_path, clear, share=0.01) == pytest.approx(0.00198, abs=2e-5)
    assert model(tmp_path, clear, share=0.01, oos=[0.9] * 100) == pytest.approx(0.00198, abs=2e-5)
    assert model(tmp_path, clear[:20], share=0.01) == pytest.approx(0.048, abs=1e-3)
    assert model(tmp_path, [], share=0.01) == pytest.approx(0.048, abs=1e-3)


@pytest.mark.parametrize("oos", ["", "other"])
def test_texts_that_fit_no_label_are_found_with_and_without_a_choice_for_them(
    assembly: Assembly, tmp_path: Path, oos: str
) -> None:
    known = examples_of(30, labels=("cancel_order", "lost_card"))
    asked = [*texts_of("opening_hours", 10), *(example.text for example in known[:40])]
    space = LabelSpace((Label("cancel_order", "cancel_order"), Label("lost_card", "lost_card")), oos)
    folder = tmp_path / "model"
    manifest = train(known, space, out=folder, options=TrainingOptions(), assembly=assembly)
    decisions = assembly.pipeline(folder, llm=False).run(asked, deadline_s=float("inf"))
    rows = outside([each for each in decisions if each], limit_of(manifest, folder)).tolist()
    assert [row for row in rows if row < 10] == list(range(10))
    assert len(rows) <= 12
