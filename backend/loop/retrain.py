"""One training of a project: read the labels, fit, compare with what serves, publish, switch or not."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from backend.core.artefacts import COLD_PREFIX, Manifest, cold_version, new_version, read_manifest
from backend.core.disk import require_room, writing
from backend.core.errors import ModelFolderError
from backend.core.types import Example
from backend.job_queue import TRAINING_FAILED, JobQueue
from backend.labelstudio.filters import unlabelled
from backend.labelstudio.records import Task
from backend.ledger import Training, hash_of_text
from backend.logs import told
from backend.loop.desk import ProjectDesk
from backend.loop.follow import learn
from backend.loop.gold import read_gold
from backend.loop.pool import MIN_TELLING, telling_texts, unlabelled_texts
from backend.pipeline.language import detect_language
from training.dataset import read_export, training_set
from training.pool import MAX_POOL, MIN_POOL
from training.promotion import Verdict, promote
from training.run import TrainingOptions, train

AGAIN_S = 300  # after a training that failed: a full disk must not be met by one training after the other
MORE = 4  # times as many texts as a version without labels knows make it worth a new one

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Labels:
    """What a training reads from Label Studio, at one generation of the neighbour index."""

    examples: list[Example]
    judges: frozenset[str]  # ids of examples that may judge
    generation: int


def retrain(work: ProjectDesk, *, why: str) -> str:
    """Train on all accepted labels; the version that is current afterwards."""
    started = time.time()
    work.folder.remove_unfinished()
    require_room(_made(work.folder.root))
    labels = read_labels(work)
    if not labels.examples:
        work.update(due_at=0.0, changed_labels=0)
        return make_cold(work)
    version = new_version(f"{work.key}/{labels.generation}/{started}")
    manifest = _train(work, labels, version)
    verdict = _judge(work, version)
    row = work.desk.ledger.project(work.key) or work.row
    promoted = verdict.promote and not row.pinned
    if promoted:
        work.folder.switch(version)
    work.desk.ledger.add_training(
        work.key,
        Training(
            version, why, started, time.time() - started, manifest.data.n_examples,
            promoted, verdict.reason if not row.pinned else f"pinned to {row.pinned}",
        ),
    )  # fmt: skip
    _note_trained(work, labels, started)
    log.info("trained", version=version, why=why, promoted=promoted, n_examples=manifest.data.n_examples)
    return work.folder.current()


def note_failure(queue: JobQueue, key: str, err: Exception) -> None:
    queue.note(TRAINING_FAILED, key, type(err).__name__, keep_s=AGAIN_S)


def failed_lately(queue: JobQueue, key: str) -> bool:
    """Whether a training failed just now, so that another would fail, too."""
    return bool(queue.noted(TRAINING_FAILED, key))


def read_labels(work: ProjectDesk) -> Labels:
    """The training set of now; the ledger and the index learn on the way what they had missed."""
    tasks = annotated_tasks(work)
    with work.desk.lease("labels", work.key):
        learn(work, tasks)
    row = work.desk.ledger.project(work.key) or work.row
    examples, judges = training_set(tasks, work.control, work.desk.ledger.how_accepted(work.key), work.settings)
    return Labels(examples, judges, row.generation)


def annotated_tasks(work: ProjectDesk, task_ids: Sequence[int] = ()) -> list[Task]:
    """Annotated tasks, read anew. All of them where no ids are given: the one full read that a training may make."""
    with (
        writing(work.folder.root),
        tempfile.TemporaryDirectory(prefix=".export-", dir=_made(work.folder.root)) as folder,
    ):
        path = Path(folder) / "export.json"
        work.desk.client.export(work.id, path, task_ids=task_ids)
        return list(read_export(path))


def make_cold(work: ProjectDesk) -> str:
    """Publish and switch to the version that knows no label of a text; the one that is current then."""
    version = publish_cold(work)
    row = work.desk.ledger.project(work.key) or work.row
    if not row.pinned:
        work.folder.switch(version)
    return work.folder.current()


def publish_cold(work: ProjectDesk) -> str:
    """Publish the version that knows no label of a text; its name.

    It rests on the labels' names and hints, and, where most have no hint, on what the project's
    texts look like, of which it holds none. Other texts make a version of another name, and so does
    their language, which decides who reads them.
    """
    found = unlabelled_texts(work, n_labels=0) if _texts_help(work) else []
    pool = found if len(found) >= MIN_POOL else []
    telling = [] if pool or work.settings.language else telling_texts(work)
    told_by = [hash_of_text("\0".join(sorted(pool)))] if pool else []
    if telling:
        told_by.append(f"texts in {detect_language(telling)}")
    version = cold_version(work.config_hash, work.profile, *told_by)
    target = work.folder.artefact(version)
    if target.exists() and not _servable(work, version):
        work.folder.discard(version)
    if not target.exists():
        train(
            [],
            work.control.space,
            out=target,
            options=_options(work, version),
            assembly=work.desk.loader.assembly,
            pool=pool,
            telling=telling,
        )
    return version


def renew_cold(work: ProjectDesk) -> bool:
    """Make the version without labels anew where texts came since; whether there is a new one.

    Many more of them say what labels look like; the first ones tell the language.
    Labels are followed while it is made. It is not taken where another version came meanwhile, or
    another label config.
    """
    before = work.folder.current()
    if not _cold_outgrown(work):
        return False
    version = publish_cold(work)
    with work.desk.lease("labels", work.key) as held:
        if not held:
            return False
        now = work.desk.project(work.key)
        same = (now.folder.current(), now.config_hash) == (before, work.config_hash)
        if version == before or not same or now.row.pinned or now.row.frozen:
            return False
        now.folder.switch(version)
    return True


def renew_cold_later(work: ProjectDesk) -> None:
    """Have the trainings' worker do so: nobody's labels wait for it."""
    if _cold_outgrown(work) and not failed_lately(work.desk.queue, work.key):
        work.desk.queue.enqueue("renew_cold", work.key)


def _cold_outgrown(work: ProjectDesk) -> bool:
    """Whether the version without labels serves, and enough texts came that it does not know."""
    current, held = work.folder.current(), work.row.pinned or work.row.frozen
    if not current.startswith(COLD_PREFIX) or held or not work.usable:
        return False
    enough = _enough_texts(work, _parameters(work))
    return bool(enough) and work.desk.client.count(work.id, [unlabelled()]) >= enough


def _enough_texts(work: ProjectDesk, known: Mapping[str, Any]) -> int:
    """How many texts make a version without labels worth making anew; 0 where none do.

    Args:
        known: parameters of the version that serves.
    """
    n_known = int(known.get("n_pool", 0))
    if not work.settings.language and not n_known and known.get("language_by", "labels") == "labels":
        return MIN_TELLING
    return max(MIN_POOL, MORE * n_known) if _texts_help(work) and n_known < MAX_POOL // MORE else 0


def _texts_help(work: ProjectDesk) -> bool:
    """Whether labels are little more than names: texts beside good hints win nothing, and confidence is too high."""
    labels = work.control.space.labels
    return sum(bool(label.hint) for label in labels) <= len(labels) / 2


def _servable(work: ProjectDesk, version: str) -> bool:
    try:
        work.desk.loader.assembly.servable(work.folder.artefact(version))
    except ModelFolderError as err:
        log.warning("model_discarded", version=version, **told(err))
        return False
    return True


def _train(work: ProjectDesk, labels: Labels, version: str) -> Manifest:
    return train(
        labels.examples,
        work.control.space,
        out=work.folder.artefact(version),
        options=_options(work, version, labels),
        assembly=work.desk.loader.assembly,
        gold=read_gold(work),
        pool=unlabelled_texts(work, n_labels=len(labels.examples)),
        budget=work.desk.loader.budget(work.key),
    )


def _options(work: ProjectDesk, version: str, labels: Labels | None = None) -> TrainingOptions:
    return TrainingOptions(
        version=version,
        profile=work.profile,
        language=work.settings.language,
        config_hash=work.config_hash,
        keywords=work.keywords,
        judges=labels.judges if labels else None,
        generation=labels.generation if labels else 0,
        project=work.key,
        ask_voters=labels is not None,
        earlier=_parameters(work),
    )


def _parameters(work: ProjectDesk) -> Mapping[str, Any]:
    """Of the version that serves."""
    current = work.folder.current()
    try:
        return read_manifest(work.folder.artefact(current)).parameters if current else {}
    except ModelFolderError:
        return {}


def _judge(work: ProjectDesk, version: str) -> Verdict:
    current = work.folder.current()
    incumbent = work.folder.artefact(current) if current else None
    return promote(work.folder.artefact(version), incumbent, assembly=work.desk.loader.assembly)


def _note_trained(work: ProjectDesk, labels: Labels, started: float) -> None:
    """Labels that changed while we trained count towards the next training."""
    row = work.desk.ledger.project(work.key) or work.row
    newer = len(work.desk.ledger.index_rows(work.key, after=labels.generation))
    work.update(
        trained_at=time.time(),
        trained_labels=len(labels.examples),
        changed_labels=newer,
        due_at=row.due_at if newer and row.due_at > started else 0.0,
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
