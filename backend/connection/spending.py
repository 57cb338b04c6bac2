"""What a project's language models took, beside what they may have spared people."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from backend.core.spending import Spend, Spent
from backend.ledger import Ledger
from backend.pipeline.budget import today


@dataclass(frozen=True, slots=True)
class LlmSpending:
    """Of one project."""

    today: Spent  # of UTC
    in_all: Spent
    n_ticks: int  # that a person saw after a vote, and submitted
    n_kept: int  # of them: corrections avoided at most, since some would have been ticked without a vote

    def figures(self) -> Mapping[str, Any]:
        """Everything, for programs."""
        return asdict(self)

    @property
    def line(self) -> str:
        """What a person reads."""
        if self.in_all == Spent():
            return "not asked yet"
        over = f", {self.today.n_over} texts over the limit" if self.today.n_over else ""
        spared = f"{self.n_kept} of {self.n_ticks} ticks after a vote were kept"
        return f"today {_amount(self.today.spend)}{over}; in all {_amount(self.in_all.spend)}; {spared}"


def llm_spending(ledger: Ledger, key: str) -> LlmSpending:
    """From the ledger alone."""
    book = ledger.spending
    kept, n = book.ticks_after_votes(key)
    return LlmSpending(book.spent(key, today()), book.total(key), n, kept)


def _amount(spend: Spend) -> str:
    cost = f", {spend.cost:.2f} in money" if spend.cost else ""
    return f"{spend.tokens} tokens, {spend.seconds / 60:.1f} min{cost}"
