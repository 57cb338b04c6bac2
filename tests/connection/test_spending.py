"""What status says of language models."""

from pathlib import Path

import pytest

from backend.connection.spending import LlmSpending, llm_spending
from backend.core.settings import Settings
from backend.core.spending import Spend, Spent
from backend.ledger import open_ledger
from backend.pipeline.budget import today

KEY = "84-1795230264"
LINES = [
    ("nothing", LlmSpending(Spent(), Spent(), 0, 0), "not asked yet"),
    (
        "local",
        LlmSpending(Spent(), Spent(Spend(1200, 90.0)), 3, 2),
        "today 0 tokens, 0.0 min; in all 1200 tokens, 1.5 min; 2 of 3 ticks after a vote were kept",
    ),
    (
        "paid, and over the limit",
        LlmSpending(Spent(Spend(500, 6.0, 0.5), 7), Spent(Spend(700, 12.0, 0.75), 7), 0, 0),
        "today 500 tokens, 0.1 min, 0.50 in money, 7 texts over the limit; in all 700 tokens, 0.2 min, 0.75 in money; "
        "0 of 0 ticks after a vote were kept",
    ),
]


@pytest.mark.parametrize(("spending", "line"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
def test_the_line_of_status(spending: LlmSpending, line: str) -> None:
    assert spending.line == line


def test_today_is_told_from_all_days(tmp_path: Path) -> None:
    ledger = open_ledger(Settings(home=tmp_path))
    ledger.spending.add(KEY, "2020-02-29", Spend(100))
    ledger.spending.add(KEY, today(), Spend(10), n_over=1)
    found = llm_spending(ledger, KEY)
    assert (found.today, found.in_all) == (Spent(Spend(10), 1), Spent(Spend(110), 1))
    ledger.engine.dispose()
