"""The promise of a project: from which confidence on labels are accepted, and whether that keeps what it promises.

It is made of gold rows and of the labels of blind tasks, whom no tick has led, and checked by the blind labels that
come after it. Pooled over versions: a newer one is taken to be no worse at the same confidence, which is what the check
would show.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import structlog

from backend.core.artefacts import write_atomically
from backend.core.bounds import chance_of_at_most
from backend.core.clock import lies_ahead
from backend.core.projects import ProjectFolder
from backend.health.agreement import Agreement
from backend.ledger import Accepted, Shown
from backend.loop.desk import ProjectDesk
from backend.loop.gold import gold_outcomes
from training.promise import MISS, Claim, LabelPromise, Promise, claims_of, promise

RULE_FILE = "promise.json"
AGAIN = 1.5  # times more such labels before a promise is looked for again: each look may err
TAKEN_BACK, BROKEN = "taken back", "broken"  # why a rule is stopped

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rule:
    """What is accepted in a project, and why not."""

    promise: Promise
    made_at: float  # unix; blind labels after it check the promise
    stopped: str = ""  # TAKEN_BACK, BROKEN; empty while it holds

    @property
    def active(self) -> bool:
        return not self.stopped and self.promise.threshold is not None

    def accepts(self, shown: Shown) -> bool:
        return self.active and shown.kind != "blind" and self.promise.accepts(shown.label, shown.confidence)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where auto-accept stands in a project."""

    target: float  # precision that the project asks for; 0: off
    rule: Rule | None
    n_accepted: int
    audited: Agreement  # blind labels since the promise that would have been accepted

    @property
    def message(self) -> str:
        """In one line."""
        if not self.target:
            return f"off; {self.n_accepted} still stand" if self.n_accepted else "off"
        if self.rule is None:
            return f"{self.target:g} asked for; not looked at yet"
        checked = f"{self.audited.n_agreed} of {self.audited.n} checked since were right" if self.audited.n else ""
        stopped = f"STOPPED, {self.rule.stopped}; prelabel auto-accept --resume goes on" if self.rule.stopped else ""
        counted = f"{self.n_accepted} accepted" if self.rule.active or self.n_accepted else ""
        return "; ".join(filter(None, [stopped, self.rule.promise.message, counted, checked]))


def standing(work: ProjectDesk) -> Standing:
    """Looks, and changes nothing."""
    rule = read_rule(work.folder)
    audited = audit(rule, work.desk.ledger.blind_labels(work.key, since=rule.made_at)) if rule else Agreement(0, 0)
    return Standing(work.settings.target_precision, rule, len(work.desk.ledger.auto.standing(work.key)), audited)


def settle(work: ProjectDesk) -> Rule | None:
    """The rule in force; made where it is missing, again where there are many more labels, stopped where it broke."""
    target = work.settings.target_precision
    if not target:
        return None
    rule = read_rule(work.folder)
    claims = [*claims_of(gold_outcomes(work)), *_claims(work.desk.ledger.blind_labels(work.key))]
    if rule is None or rule.promise.target != target or _worth_another_look(rule, len(claims)):
        stopped = rule.stopped if rule and rule.promise.target == target else ""
        rule = keep(work.folder, Rule(promise(claims, target), time.time(), stopped))
    if lies_ahead(rule.made_at, time.time()):
        rule = keep(work.folder, replace(rule, made_at=time.time()))
    since = audit(rule, work.desk.ledger.blind_labels(work.key, since=rule.made_at))
    if rule.active and broken(since, target):
        log.error("promise_broken", project=work.key, n=since.n, n_agreed=since.n_agreed)
        rule = keep(work.folder, replace(rule, stopped=BROKEN))
    return rule


def audit(rule: Rule, labels: Iterable[Accepted]) -> Agreement:
    """Of blind labels, those that would have been accepted."""
    accepts = rule.promise.accepts
    checked = [item.label == item.shown_label for item in labels if accepts(item.shown_label, item.confidence or 0.0)]
    return Agreement(len(checked), sum(checked))


def broken(audited: Agreement, target: float) -> bool:
    """Whether so many wrong ones would be less likely than MISS if the promise held."""
    n_wrong = audited.n - audited.n_agreed
    return n_wrong > 0 and 1.0 - chance_of_at_most(n_wrong - 1, audited.n, 1.0 - target) <= MISS


def read_rule(folder: ProjectFolder) -> Rule | None:
    """None where none was made yet."""
    try:
        raw = json.loads((folder.root / RULE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    promised = raw["promise"]
    labels = tuple(LabelPromise(**row) for row in promised.pop("labels"))
    return Rule(Promise(**promised, labels=labels), raw["made_at"], raw["stopped"])


def look_again(folder: ProjectFolder) -> None:
    """Have the promise made anew, since what it rests on is another one by now. What was stopped stays so."""
    rule = read_rule(folder)
    if rule is not None:
        nothing = Promise(rule.promise.target, None, 0, 0, 0, rule.promise.needs)
        keep(folder, replace(rule, promise=nothing))


def keep(folder: ProjectFolder, rule: Rule) -> Rule:
    write_atomically(folder.root / RULE_FILE, json.dumps(asdict(rule), ensure_ascii=False))
    return rule


def _worth_another_look(rule: Rule, n_labels: int) -> bool:
    n_judged = rule.promise.n_judged
    return n_labels != n_judged and (n_judged < rule.promise.needs or n_labels >= AGAIN * n_judged)


def _claims(labels: Iterable[Accepted]) -> list[Claim]:
    return [Claim(item.shown_label, item.confidence or 0.0, item.label == item.shown_label) for item in labels]
