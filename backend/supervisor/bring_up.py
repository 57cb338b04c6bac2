"""From nothing to a page with suggestions, step by step; each step is reported, and a failure names its step.

Decides what comes before what. How a step is shown is the command's business.
"""

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Literal

from backend.core.code_version import code_version
from backend.core.errors import OutsideError, PrelabelError
from backend.core.profiles import load_profile
from backend.core.settings import Settings, load_settings
from backend.models.model_uri import graph_folder
from backend.models.weights import WeightStore
from backend.supervisor import voter
from backend.supervisor.environments import EnvironmentFailed, own_label_studio_folder, prepare_label_studio
from backend.supervisor.label_studio import NAME as LABEL_STUDIO
from backend.supervisor.label_studio import LabelStudio
from backend.supervisor.ports import require_free
from backend.supervisor.process import LOG_BYTES, LOGS_KEPT, Service
from backend.supervisor.services import COMMAND, TRAINER, WEB, WORKER, Prelabel, child_environment
from backend.supervisor.state import TOKEN, StateFolder
from backend.supervisor.supervisor import Supervisor, side_by_side
from backend.supervisor.valkey import Valkey

SUPERVISOR_LOG = "supervisor.log"
VOTER_LOG = "build-llm.log"
GRAPHS_LOG = "export-graphs.log"

EventKind = Literal["running", "done", "failed", "note", "ready"]
Samples = Callable[[Settings, Callable[[str], None]], None]

log = logging.getLogger("prelabel.supervisor")


@dataclass(frozen=True, slots=True)
class Event:
    """What a person who waits should see."""

    kind: EventKind
    step: str = ""  # empty for notes and for ready
    text: str = ""


Report = Callable[[Event], None]


def supervise(folder: StateFolder, settings: Settings, report: Report, samples: Samples | None) -> None:
    """Bring everything up and keep it up until a stop signal comes. Needs the folder's `only_supervisor`.

    Raises:
        PrelabelError: a port is busy, or a step failed; everything is stopped again by then.
    """
    with log_to(folder):
        log.warning("prelabel %s supervises %s", code_version(), folder.home)

        def notice(text: str) -> None:
            log.warning(text)
            report(Event("note", text=text))

        with Supervisor(folder, notice) as supervisor, supervisor.stop_on_signals():
            stack = Stack(folder, settings, supervisor, report, samples)
            stack.require_free_ports()
            boot = threading.Thread(target=stack.boot, daemon=True)
            boot.start()
            supervisor.tend_until_stopped(ended=lambda: bool(stack.failures))
        if stack.failures:
            raise stack.failures[0]


@dataclass(frozen=True)
class Stack:
    """Everything that `up` starts, for one state folder."""

    folder: StateFolder
    settings: Settings
    supervisor: Supervisor
    report: Report
    samples: Samples | None
    failures: list[PrelabelError] = field(default_factory=list)  # filled by `boot`, at most one

    @property
    def valkey(self) -> Valkey:
        url = self.settings.redis_url.get_secret_value()
        return Valkey(url, self.folder.home / "valkey", self.settings.queue_config)

    def require_free_ports(self) -> None:
        """Raises: OutsideError: a port that we need is taken."""
        file = self.folder.env_file
        host, port = self.label_studio().address
        require_free(host, port, what="Label Studio", setting=f"PRELABEL_LABEL_STUDIO_URL in {file}")
        web = self.settings.web_host, self.settings.web_port
        require_free(*web, what="prelabel's web process", setting=f"PRELABEL_WEB_PORT in {file}")
        require_free(*self.valkey.address, what="Valkey", setting=f"PRELABEL_REDIS_URL in {file}")

    def boot(self) -> None:
        """All steps; for a thread of its own, so what goes wrong is kept in `failures`."""
        try:
            self._bring_up()
            self.supervisor.say_ready()
            self.report(Event("ready"))
            self._add_voter()
        except PrelabelError as err:
            if not self.supervisor.stopping.is_set():
                self.failures.append(err)

    def _bring_up(self) -> None:
        side_by_side(self._fetch_models, self._start_queue, self._start_label_studio)
        prelabel = Prelabel(self.settings)
        own = (prelabel.web(), *prelabel.workers(), prelabel.cron())
        side_by_side(*(lambda service=service: self._start(service) for service in own))
        if self.samples is not None:
            with self._step("samples") as detail:
                self.samples(load_settings(), detail)

    def _fetch_models(self) -> None:
        with self._step("models") as detail:
            settings = self.settings
            store = WeightStore.reaching_out(settings)
            profile = load_profile(settings.profile)
            for spec in profile.models:
                store.fetch(spec, progress=detail)
            asked = [spec.uri for spec in profile.embedders.values() if spec.options.get("onnx")]
            if not all(graph_folder(settings.models_dir, uri).is_dir() for uri in asked):
                detail("exporting an ONNX graph, which is faster; some 10 s, once")
                self._export_graphs()

    def _export_graphs(self) -> None:
        """In a process of its own, because the supervisor loads no model; without a graph torch serves."""
        with (self.folder.logs / GRAPHS_LOG).open("ab") as output:
            subprocess.run(
                [*COMMAND, "models", "fetch"], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=child_environment(self.folder.home), check=False,
            )  # fmt: skip

    def _start_queue(self) -> None:
        self._start(self.valkey.service())

    def _start_label_studio(self) -> None:
        if not self.settings.label_studio_bin:
            with self._step("environment of Label Studio") as detail:
                prepare_label_studio(own_label_studio_folder(), detail, self.settings.pip_environment)
        label_studio = self.label_studio()
        self._start(label_studio.service())
        with self._step("access token"):
            present = self.settings.label_studio_token.get_secret_value()
            token = label_studio.token(present)
            if token != present:
                self.folder.remember({TOKEN: token})

    def label_studio(self) -> LabelStudio:
        named = self.settings.label_studio_bin
        return LabelStudio(
            executable=Path(named) if named else own_label_studio_folder() / "bin" / "label-studio",
            data=self.folder.home / LABEL_STUDIO,
            url=self.settings.label_studio_url,
            email=self.settings.label_studio_email,
            password=self.settings.label_studio_password.get_secret_value(),
        )

    def _start(self, service: Service) -> None:
        with self._step(service.name):
            self.supervisor.start(service)

    def _add_voter(self) -> None:
        """Build the LLM library where it is missing, then let web and workers take it in."""
        if voter.installed():
            return
        problem = voter.obstacle()
        if not problem:
            self.report(Event("note", text="the LLM voter is being built; it joins by itself in a few minutes"))
            problem = voter.build(self.folder.logs / VOTER_LOG, self.settings)
        if self.supervisor.stopping.is_set():
            return
        if problem:
            self.supervisor.notice(problem)
            return
        self.supervisor.renew(WEB, signal.SIGHUP)  # gunicorn loads the application anew, without a gap
        for name in (TRAINER, WORKER):
            self.supervisor.renew(name, signal.SIGTERM)  # ends after its job, and is started again
        self.supervisor.notice("the LLM voter is built and joins now")

    @contextmanager
    def _step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Report a step's beginning, details, end.

        Raises:
            OutsideError: it failed, whatever it was; names the step and the log.
        """
        started = time.monotonic()
        self.report(Event("running", name))
        try:
            yield lambda text: self.report(Event("running", name, text))
        except Exception as err:
            if self.supervisor.stopping.is_set():
                raise OutsideError(f"{name} was stopped") from err
            log.error("step %s failed", name, exc_info=err)
            self.report(Event("failed", name))
            known = isinstance(err, PrelabelError | EnvironmentFailed)
            why = str(err) if known else f"{type(err).__name__}: {err}"
            where = "" if "; see " in why else f"; see {self.folder.logs / SUPERVISOR_LOG}"
            raise OutsideError(f"{name} failed: {why}{where}") from err
        self.report(Event("done", name, f"{time.monotonic() - started:.1f} s"))


@contextmanager
def log_to(folder: StateFolder) -> Iterator[None]:
    """The supervisor's own log, beside its children's."""
    handler = RotatingFileHandler(folder.logs / SUPERVISOR_LOG, maxBytes=LOG_BYTES, backupCount=LOGS_KEPT)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
