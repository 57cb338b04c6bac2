"""What language models were asked, and what that took, as metrics."""

from collections import Counter, defaultdict
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
        asked, took, spent = (
            Counter[tuple[str, ...]](),
            Counter[tuple[str, ...]](),
            defaultdict[tuple[str, ...], float](float),
        )
        for (profile, _), server in list(self.servers.items()):  # some entries ask one model in different ways
            name = (profile, server.name)
            asked.update({(*name, outcome): n for outcome, n in list(server.tally.counts.items())})
            took.update({(*name, "read"): server.tally.tokens_read, (*name, "written"): server.tally.tokens_written})
            spent[name] += server.spent
        for family, counts in ((answers, asked), (tokens, took), (cost, spent)):
            for labels, n in counts.items():
                family.add_metric(labels, n)
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
