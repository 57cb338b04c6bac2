"""Whether what is recorded as shown is what was on the screen, over tasks labelled in a real browser.

    python -m benchmarks.screen [N_TASKS]

`prelabel up --detach` first; needs Chromium. N_TASKS (100) are labelled by one person at 1 to 3 s each, then as many by
two people at once in a project of two annotations a task, while prelabel follows, trains and promotes. Two projects
stay behind in Label Studio, to be looked at.
"""

import json
import sys
import time
from collections import Counter

from backend.core.settings import load_settings
from backend.logs import configure_logs
from backend.loop.desk import Desk
from benchmarks.playground import wait_until
from tests.labelling_page import Person, add_account, chromium, new_page
from tests.labelling_session import SECOND, connected, explained, label
from tests.records import blind, contradictions, entered, stored_contradictions

N_TASKS = 100
PAUSES_S = (1.0, 3.0)
SPARE = 2  # times as many tasks as are labelled: what is beyond the head is looked at, too


def main(n_tasks: int = N_TASKS) -> int:
    """Label, compare, print a line for each way; the number of contradictions."""
    configure_logs("WARNING")
    settings, n_wrong = load_settings(), 0
    first = (settings.label_studio_email, settings.label_studio_password.get_secret_value())
    with Desk(settings) as desk, chromium() as browser:
        add_account(desk.client, settings.label_studio_url, *SECOND)
        for logins in ((first,), (first, SECOND)):
            work = connected(desk, n_tasks=SPARE * n_tasks, n_annotations=len(logins))
            url = settings.label_studio_url
            people = [Person(new_page(browser), url, work.id, login) for login in logins]
            begun = time.perf_counter()
            submitted = label(people, n_tasks // len(people), PAUSES_S)
            seconds = time.perf_counter() - begun
            wait_until(lambda: entered(work, submitted))  # noqa: B023
            wrong = contradictions(work, submitted)
            wait_until(lambda: explained(work))  # noqa: B023
            stored = stored_contradictions(work)
            rows = work.desk.ledger.accepted_as(work.key, [each.annotation_id for each in submitted])
            found = {
                "people": len(people),
                "annotations": len(submitted),
                "seconds an annotation": round(seconds / len(submitted), 1),
                "recorded": dict(Counter(row.how for row in rows.values())),
                "blind": sum(blind(work, each.sight.task_id) for each in submitted),
                "with percents": sum(bool(each.sight.percents) for each in submitted),
                "trainings": len(work.desk.ledger.trainings(work.key)),
                "contradictions of record and screen": len(wrong),
                "contradictions among open tasks afterwards": len(stored),
            }
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.writelines(f"  {said}\n" for said in (*wrong, *stored))
            n_wrong += len(wrong) + len(stored)
    return n_wrong


if __name__ == "__main__":
    sys.exit(1 if main(*map(int, sys.argv[1:])) else 0)
