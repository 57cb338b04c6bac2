"""A word about texts that fit none of a project's labels, once they are too many to be chance."""

from collections.abc import Mapping

from backend.core.artefacts import COLD_PREFIX

FEWEST = 20  # texts; what is said of fewer may be single oddities
SHARE = 0.05  # of the texts that were decided; each project has a few that fit nothing


def told_outside(project_id: int, version: str, decided: Mapping[str, int]) -> str:
    """The word, with the command that groups these texts; empty where there is nothing to say yet.

    A version that was never trained does not know what texts of its labels look like.

    Args:
        decided: tasks by what the version that serves decided about them last.
    """
    n, n_all = decided.get("out_of_scope", 0), sum(decided.values())
    if version.startswith(COLD_PREFIX) or n < FEWEST or n < SHARE * n_all:
        return ""
    command = f"prelabel missing-labels --project {project_id}"
    return f"{n} of {n_all} texts fit no label: add one? {command} groups them"
