"""What pre-labels were worth: acceptance, edits and seconds a task, against tasks that had none.

Reads the ledger alone. A time is Label Studio's `lead_time`; medians, because people go for coffee. Labels accepted
in bulk took nobody's time one by one and are counted apart.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backend.core.artefacts import oldest_first, write_atomically
from backend.core.disk import hand_over, users_folder
from backend.files import appearing
from backend.ledger import Accepted

TEMPLATES = Path(__file__).parent / "templates"
PICTURE = "impact.png"
DPI = 120
FEW = 10  # times under which a median is told as such


@dataclass(frozen=True, slots=True)
class Group:
    """Annotations that belong together: all, those beside one version, those of one label."""

    name: str
    n: int  # without skips
    n_shown: int  # a person saw a tick and submitted
    n_kept: int  # of them, submitted as ticked
    n_bulk: int
    n_without: int  # a person labelled without a tick: blind tasks, abstentions
    kept_s: float | None  # median seconds of a tick that was kept
    edited_s: float | None  # of one that was changed
    without_s: float | None  # of a task without a tick

    @property
    def acceptance(self) -> float | None:
        """Share of the ticks that were kept, 0-1; bulk says nothing about a single tick."""
        return self.n_kept / self.n_shown if self.n_shown else None

    @property
    def saved_s(self) -> float | None:
        """Seconds saved in all, against labelling the same tasks without a tick; negative where ticks cost time."""
        if self.without_s is None or not self.n_shown:
            return None
        kept = self.n_kept * (self.without_s - (self.kept_s or 0.0))
        edited = (self.n_shown - self.n_kept) * (self.without_s - (self.edited_s or 0.0))
        return kept + edited

    def figures(self) -> Mapping[str, Any]:
        """Everything, for programs."""
        return {**asdict(self), "acceptance": self.acceptance, "saved_s": self.saved_s}

    @staticmethod
    def columns() -> tuple[str, ...]:
        return ("of", "labels", "ticked", "kept", "bulk", "without", "s kept", "s edited", "s without", "saved")

    def cells(self) -> tuple[str, ...]:
        return (
            self.name, str(self.n), str(self.n_shown), "-" if self.acceptance is None else f"{self.acceptance:.0%}",
            str(self.n_bulk), str(self.n_without), _seconds(self.kept_s), _seconds(self.edited_s),
            _seconds(self.without_s), "-" if self.saved_s is None else f"{self.saved_s / 60:.1f} min",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Impact:
    """All of a project's annotations, taken together and apart."""

    project: str
    all: Group
    by_version: tuple[Group, ...]  # oldest first
    by_label: tuple[Group, ...]  # most frequent first

    @property
    def rows(self) -> tuple[Group, ...]:
        return (self.all, *self.by_version, *self.by_label)

    def figures(self) -> Mapping[str, Any]:
        """Everything, for programs."""
        return {
            "project": self.project,
            "caution": self.caution,
            "all": self.all.figures(),
            "by_version": [part.figures() for part in self.by_version],
            "by_label": [part.figures() for part in self.by_label],
        }

    @property
    def caution(self) -> str:
        """What the figures cannot carry; empty where they can."""
        if self.all.n_without < FEW:
            n = self.all.n_without
            had = "no task" if not n else "only 1 task" if n == 1 else f"only {n} tasks"
            return f"{had} without a tick to compare with: under {FEW} the seconds saved are a guess"
        return ""


def impact_of(project: str, accepted: Iterable[Accepted]) -> Impact:
    """From the newest state of each annotation, without skips."""
    rows = [row for row in accepted if row.label]
    versions = sorted({row.version for row in rows if row.version}, key=oldest_first)
    labels = [label for label, _ in Counter(row.label for row in rows).most_common()]
    return Impact(
        project,
        group("all", rows),
        tuple(group(version, [row for row in rows if row.version == version]) for version in versions),
        tuple(group(label, [row for row in rows if row.label == label]) for label in labels),
    )


def group(name: str, rows: Sequence[Accepted]) -> Group:
    """Counts and medians of some annotations."""
    shown = [row for row in rows if row.how == "seen"]
    kept = [row for row in shown if row.label == row.shown_label]
    edited = [row for row in shown if row.label != row.shown_label]
    without = [row for row in rows if row.how in ("blind", "unaided")]
    n_bulk = sum(row.how == "bulk" for row in rows)
    return Group(
        name, len(rows), len(shown), len(kept), n_bulk, len(without), _median(kept), _median(edited), _median(without)
    )


def write_page(folder: Path, impact: Impact) -> None:
    """Write impact.html and its picture; what stood there under these names is replaced."""
    users_folder(folder)
    with appearing(folder / PICTURE) as hidden:
        _draw(impact, hidden)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    page = environment.get_template("impact.html.j2").render(impact=impact, columns=Group.columns(), picture=PICTURE)
    write_atomically(folder / "impact.html", page)
    for name in ("impact.html", PICTURE):
        hand_over(folder / name)


def _draw(impact: Impact, path: Path) -> None:
    """Seconds a task with a tick kept, changed, and without one; share of ticks kept by version."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second that no other command should pay
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6))
    FigureCanvasAgg(figure)
    times, shares = figure.subplots(1, 2)
    bars = {"kept": impact.all.kept_s, "edited": impact.all.edited_s, "no tick": impact.all.without_s}
    known = {name: value for name, value in bars.items() if value is not None}
    times.bar(list(known), list(known.values()), color=["#4c8c4a", "#c98b2b", "#888888"][: len(known)])
    times.set(title="median seconds a task", ylabel="s")
    judged = [part for part in impact.by_version if part.acceptance is not None]
    shares.bar(range(1, len(judged) + 1), [part.acceptance or 0.0 for part in judged], color="#3b6ea5")
    shares.set(title="ticks kept, by version", ylim=(0, 1), xticks=range(1, len(judged) + 1))
    figure.tight_layout()
    figure.savefig(path, dpi=DPI, format="png")


def _median(rows: Sequence[Accepted]) -> float | None:
    times = [row.lead_time_s for row in rows if row.lead_time_s is not None]
    return median(times) if times else None


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
