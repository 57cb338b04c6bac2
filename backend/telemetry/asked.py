"""What language models were asked, and what that took, as metrics."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.models.chat_server import ChatServer


@dataclass(frozen=True, eq=False)  # a registry keeps collectors by identity
class ServerCollector(Collector):
    servers: Mapping[tuple[str, str], ChatServer]  # grows while it is read

    def collect(self) -> Iterator[Metric]:
        answers = CounterMetricFamily(
            "prelabel_server_answers", "Questions to a model on a server, by what became of them.",
            labels=["profile", "model", "outcome"],
        )  # fmt: skip
        tokens = CounterMetricFamily(
            "prelabel_server_tokens", "Tokens that a server counted, read or written.",
            labels=["profile", "model", "direction"],
        )  # fmt: skip
        cost = CounterMetricFamily(
            "prelabel_server_cost", "What these cost by the profile's prices.", labels=["profile", "model"]
        )
        for (profile, _), server in list(self.servers.items()):
            for outcome, n in list(server.tally.counts.items()):
                answers.add_metric([profile, server.name, outcome], n)
            tokens.add_metric([profile, server.name, "read"], server.tally.tokens_read)
            tokens.add_metric([profile, server.name, "written"], server.tally.tokens_written)
            cost.add_metric([profile, server.name], server.spent)
        yield from (answers, tokens, cost)


@dataclass(frozen=True, eq=False)
class AnswerCollector(Collector):
    recalled: Mapping[str, int]  # by whether an answer was known before: "hit", "miss"

    def collect(self) -> Iterator[Metric]:
        answers = CounterMetricFamily(
            "prelabel_answers", "Answers of local models that were needed, by whether they were known before.",
            labels=["outcome"],
        )  # fmt: skip
        for outcome in ("hit", "miss"):
            answers.add_metric([outcome], self.recalled.get(outcome, 0))
        yield answers
