"""What the last look saw, as metrics. Labels are projects, queues, kinds and roles, so that there are never many."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric

from backend.health.agreement import blind_agreement, ticks_kept
from backend.health.faults import KINDS
from backend.health.sight import ProjectSight, QueueSight, Sight
from backend.health.watch import Watch
from backend.telemetry.instruments import Telemetry
from backend.telemetry.published import merged

WEB = "web"  # the process that is scraped, in the label `process`

Samples = Iterable[tuple[Sequence[str], float]]


@dataclass(frozen=True, slots=True)
class Exposition:
    """All metrics: what this process counts, what the workers left, what the last look saw."""

    telemetry: Telemetry
    watch: Watch

    def text(self) -> bytes:
        """The text format of Prometheus; from memory."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        sight = self.watch.sight
        workers = sight.queue.figures if sight and sight.queue else {}
        yield from merged({WEB: self.telemetry.registry.collect(), **workers})
        ready, wrong = not self.watch.obstacles(), {fault.kind for fault in self.watch.faults()}
        yield _gauge("ready", "Whether each project's version is loaded, or known to be unusable.", (), [((), ready)])
        faults = [((kind,), kind in wrong) for kind in KINDS]
        yield _gauge("degraded", "Whether something of this kind is wrong; /health says what.", ("kind",), faults)
        if sight is not None:
            yield from _host(sight)
            yield from _queue(sight.queue)
            yield from _projects(sight.projects, self.watch.projects.ready())


def _host(sight: Sight) -> Iterator[Metric]:
    yield _gauge("look_timestamp_seconds", "When all of this was looked at.", (), [((), sight.at)])
    yield _gauge("database_up", "Whether the database answers and takes writes.", (), [((), not sight.database)])
    yield _gauge("disk_free_bytes", "Free where the state lies.", (), [((), sight.disk.free)])
    yield _gauge("disk_size_bytes", "Size of the disk of the state.", (), [((), sight.disk.size)])


def _queue(seen: QueueSight | None) -> Iterator[Metric]:
    """Without Redis nothing is known but that: the other figures are left out."""
    yield _gauge("queue_up", "Whether Redis answers.", (), [((), seen is not None)])
    if seen is None:
        return
    yield _gauge("jobs", "Jobs, by queue and state.", ("queue", "state"), seen.counts.items())
    oldest = [((name,), seen.oldest_s(queue=name)) for name in seen.workers]
    yield _gauge("oldest_job_age_seconds", "How long the oldest waiting job has waited.", ("queue",), oldest)
    listening = [((name,), n) for name, n in seen.workers.items()]
    yield _gauge("workers", "Workers that listen, by queue.", ("queue",), listening)


def _projects(projects: Sequence[ProjectSight], loaded: Iterable[str]) -> Iterator[Metric]:
    served = set(loaded)
    one = ("project",)
    keyed = [((each.key,), each) for each in projects]
    published = [(key, each.key in served) for key, each in keyed if each.current]
    yield _gauge("version_loaded", "Whether a version answers for the project.", one, published)
    yield _versions(projects)
    for name, text, moments in (
        ("last_event", "When a label was followed last.", [(key, each.row.webhook_at) for key, each in keyed]),
        ("last_reconcile", "When it was reconciled last.", [(key, each.row.reconciled_at) for key, each in keyed]),
        ("last_training", "When it was trained last.", [(key, each.row.trained_at) for key, each in keyed]),
    ):
        yield _gauge(f"{name}_timestamp_seconds", text, one, [(key, at) for key, at in moments if at])
    counted = [(key, each.coverage) for key, each in keyed if each.coverage]
    yield _gauge(
        "open_tasks",
        "Tasks that hold a text and have no annotation, as last counted.",
        one,
        [(k, c.n_open) for k, c in counted],
    )
    predicted = [(key, coverage.n_predicted) for key, coverage in counted]
    yield _gauge("predicted_tasks", "Open tasks with a prediction of the version that serves.", one, predicted)
    changed = [(key, each.row.changed_labels) for key, each in keyed]
    yield _gauge("changed_labels", "Labels changed since the last training.", one, changed)
    yield _trainings(projects)
    yield from _acceptance(projects)


def _versions(projects: Sequence[ProjectSight]) -> Metric:
    info = InfoMetricFamily("prelabel_version", "Versions that serve, and served before.", labels=["project"])
    for each in projects:
        for role, version in (("current", each.current), ("previous", each.previous)):
            if version:
                info.add_metric([each.key], {"version": version, "role": role})
    return info


def _trainings(projects: Sequence[ProjectSight]) -> Metric:
    promoted = {each.key: [training.promoted for training in each.trainings] for each in projects}
    samples = [((key, str(was).lower()), done.count(was)) for key, done in promoted.items() for was in (True, False)]
    return _gauge("trainings", "Trainings, by whether the model was promoted.", ("project", "promoted"), samples)


def _acceptance(projects: Sequence[ProjectSight]) -> Iterator[Metric]:
    by_how: dict[tuple[str, str, str], int] = {}
    ticks: list[tuple[Sequence[str], float]] = []
    blind: list[tuple[Sequence[str], float]] = []
    for each in projects:
        for row in each.acceptance:
            key = (each.key, row.how, str(row.kept).lower())
            by_how[key] = by_how.get(key, 0) + row.n
        for role, version in (("current", each.current), ("previous", each.previous)):
            kept = ticks_kept(each.acceptance, version)
            ticks += [((each.key, role, "true"), kept.n_agreed), ((each.key, role, "false"), kept.n - kept.n_agreed)]
        agreed = blind_agreement(each.acceptance)
        blind += [((each.key, "true"), agreed.n_agreed), ((each.key, "false"), agreed.n - agreed.n_agreed)]
    banded = [
        ((each.key, band.name, agreed), n)
        for each in projects
        for band in each.bands
        for agreed, n in (("true", band.agreement.n_agreed), ("false", band.agreement.n - band.agreement.n_agreed))
    ]
    under = [((each.key,), any(band.under for band in each.bands)) for each in projects]
    columns = ("project", "how", "kept")
    yield _gauge(
        "labels", "Annotations, by how they came about and whether the label was kept.", columns, by_how.items()
    )
    yield _gauge("ticks", "Ticks that a person saw, by version and whether kept.", ("project", "role", "kept"), ticks)
    yield _gauge("blind_labels", "Labels of blind tasks, by whether the model agrees.", ("project", "agreed"), blind)
    yield _gauge("blind_band_labels", "The same by confidence.", ("project", "band", "agreed"), banded)
    yield _gauge("band_under_promise", "Whether some band agrees less than it promised.", ("project",), under)


def _gauge(name: str, text: str, labels: Sequence[str], samples: Samples) -> Metric:
    family = GaugeMetricFamily(f"prelabel_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(list(values), float(value))
    return family
