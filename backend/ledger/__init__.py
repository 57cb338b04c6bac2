"""The database: its tables, what its rows mean, and everything that reads or writes them."""

from backend.ledger.ledger import Ledger
from backend.ledger.opening import open_ledger
from backend.ledger.rows import (
    Acceptance,
    Accepted,
    AutoAccepted,
    How,
    IndexRow,
    Kind,
    OnScreen,
    ProjectRow,
    Shown,
    Training,
    hash_of_text,
)
from backend.ledger.tables import metadata

__all__ = [
    "Acceptance", "Accepted", "AutoAccepted", "How", "IndexRow", "Kind", "Ledger", "OnScreen", "ProjectRow", "Shown",
    "Training", "hash_of_text", "metadata", "open_ledger",
]  # fmt: skip
