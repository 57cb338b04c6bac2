"""Which prelabel this is: for manifests, logs, `/health` and people who report a bug."""

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "prelabel"


def code_version() -> str:
    """The version that is installed; "unknown" where the code runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
