"""What every test may ask for; see tests/stack.py and tests/postgres.py."""

from tests.peaks import (
    pytest_runtest_logfinish,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)
from tests.postgres import postgresql, postgresql_database
from tests.stack import backend, chroma_server, label_studio, models_dir, redis_url, valkey

__all__ = [
    "backend",
    "chroma_server",
    "label_studio",
    "models_dir",
    "postgresql",
    "postgresql_database",
    "pytest_runtest_logfinish",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
    "redis_url",
    "valkey",
]
