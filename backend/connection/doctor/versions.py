"""Doctor on what a project serves: its version and whether it can be loaded, is shown, and for which tasks."""

import shutil

from backend.connection.doctor.check import Check, Fault, Finding
from backend.connection.ties import TITLE
from backend.connection.versions import usable_before
from backend.core.artefacts import COLD_PREFIX, OWN_PREFIX, Manifest, read_manifest
from backend.core.errors import ArtefactError
from backend.core.projects import way_to_train
from backend.loop.coverage import lacks_any
from backend.loop.desk import ProjectDesk
from backend.loop.push import show_version
from backend.loop.spool import spool_of


def take_over(work: ProjectDesk) -> str:
    work.desk.queue.enqueue("refresh", work.key)
    return "the label config is taken over by the next worker"


def make_again(work: ProjectDesk) -> str:
    """What was never trained is made of the label config alone, so that nothing is lost with it."""
    shutil.rmtree(work.folder.artefact(work.folder.current()), ignore_errors=True)
    work.folder.current_file.unlink(missing_ok=True)
    return take_over(work)


def train_again(work: ProjectDesk) -> str:
    work.desk.queue.enqueue("retrain", work.key)
    return "a training is queued"


def predict(work: ProjectDesk) -> str:
    work.desk.queue.enqueue("predict_project", work.key)
    return "predicting is queued"


def show(work: ProjectDesk) -> str:
    """Show the version that serves where all of its predictions are there; otherwise the push does, at its end."""
    version = work.folder.current()
    if not _pushed(work, version) or lacks_any(work, version):
        return predict(work)
    if not show_version(work, version):
        return predict(work)
    return f"{version} is shown"


NO_VERSION: Fault[ProjectDesk] = Fault(
    "half-connected: no version", "no version was published", "run: prelabel connect --project {project}", take_over
)
DAMAGED: Fault[ProjectDesk] = Fault(
    "the version is damaged, of another format or for other models", "{version} cannot be loaded: {problem}",
    "run: {way}, or wait: the workers train it anew within a minute{back}",
)  # fmt: skip
DAMAGED_COLD: Fault[ProjectDesk] = Fault(
    "the same of a version that was never trained", "{version} cannot be loaded: {problem}",
    "run: prelabel doctor --fix, which has it made again", make_again,
)  # fmt: skip
NEVER_SHOWN: Fault[ProjectDesk] = Fault(
    "title and version out of step", "{version} serves, but {shown} is shown",
    "wait for the push to end; if it does not: prelabel status, then the log of worker-live", show,
)  # fmt: skip
FOREIGN_SHOWN: Fault[ProjectDesk] = Fault(
    "another's predictions are shown", "{version} serves, but {shown!r} is shown, which is not prelabel's",
    "choose {version} under Settings, Annotation in Label Studio, if nobody wants the other",
)  # fmt: skip
LACKING: Fault[ProjectDesk] = Fault(
    "tasks without a present prediction", "open tasks lack a prediction of {version}",
    "the workers are at it; see prelabel status", predict,
)  # fmt: skip
CHANGED: Fault[ProjectDesk] = Fault(
    "labels changed since training", "{version} {difference}", "the workers take it over within a minute", take_over
)
OLDER: Fault[ProjectDesk] = Fault(
    "an older version with other labels serves", "{version} {difference}", "train again: prelabel doctor --fix",
    train_again,
)  # fmt: skip
HELD: Fault[ProjectDesk] = Fault(
    "a person holds a version with other labels", "{version} {difference}; it is {held}", "run: {release}"
)


def version(work: ProjectDesk) -> Finding[ProjectDesk]:
    current = work.folder.current()
    if not current:
        return NO_VERSION.seen(project=work.id)
    try:
        manifest = work.desk.loader.assembly.servable(work.folder.artefact(current))
    except ArtefactError as err:
        return _damaged(work, current, str(err))
    return Finding(f"{current} serves, trained on {manifest.data.n_examples} labels")


def _damaged(work: ProjectDesk, version: str, problem: str) -> Finding[ProjectDesk]:
    if version.startswith(COLD_PREFIX) and not work.row.pinned:
        return DAMAGED_COLD.seen(version=version, problem=problem)
    way = way_to_train(work.id, pinned=bool(work.row.pinned), frozen=work.row.frozen)
    back = f"; or go back: prelabel rollback --project {work.id}" if usable_before(work) else ""
    return DAMAGED.seen(version=version, problem=problem, way=way, back=back)


def labels(work: ProjectDesk) -> Finding[ProjectDesk]:
    manifest = _manifest(work)
    there, known = set(work.control.space.values), set(manifest.labels.values)
    if there == known:
        return Finding("the version knows the labels of the config, and no others")
    parts = (("does not know {}", there - known), ("knows {}, which the config has no more", known - there))
    difference = ", and ".join(text.format(", ".join(sorted(names))) for text, names in parts if names)
    facts = {"version": manifest.version, "difference": difference}
    if work.row.pinned:
        return HELD.seen(**facts, held="pinned", release=f"prelabel unpin --project {work.id}")
    if work.row.config_hash != work.config_hash:
        return CHANGED.seen(**facts)
    if work.row.frozen:
        return HELD.seen(**facts, held="frozen", release=f"prelabel freeze --project {work.id} --off")
    return OLDER.seen(**facts)


def shown(work: ProjectDesk) -> Finding[ProjectDesk]:
    current, seen = work.folder.current(), work.project.model_version
    if seen == current:
        return Finding(f"{current} is shown")
    if seen in ("", TITLE) and not work.project.counters["task_number"]:
        return Finding(f"{current} will be shown once there are tasks")
    if seen in ("", TITLE) or seen.startswith(OWN_PREFIX):
        return NEVER_SHOWN.seen(version=current, shown=repr(seen) if seen else "nothing")
    return FOREIGN_SHOWN.seen(version=current, shown=seen)


def coverage(work: ProjectDesk) -> Finding[ProjectDesk]:
    current = work.folder.current()
    if lacks_any(work, current):
        return LACKING.seen(version=current)
    return Finding("every open task has a present prediction")


def _manifest(work: ProjectDesk) -> Manifest:
    return read_manifest(work.folder.artefact(work.folder.current()))


def _pushed(work: ProjectDesk, version: str) -> bool:
    """Whether a push of this version came to its end."""
    spool = spool_of(work.folder, version)
    unfinished = spool.file.exists() or spool.begun.exists()
    return not unfinished and bool(work.desk.client.model_versions(work.id).get(version))


CHECKS: tuple[Check[ProjectDesk], ...] = (
    Check("version", version, (NO_VERSION, DAMAGED, DAMAGED_COLD)),
    Check("version's labels", labels, (CHANGED, OLDER, HELD), needs=("label config", "version")),
    Check("predictions", coverage, (LACKING,), needs=("label config", "version")),
    Check("shown", shown, (NEVER_SHOWN, FOREIGN_SHOWN), needs=("label config", "version")),
)
