"""Who is at work on the queue now: workers by name, and the process that keeps time."""

import redis
from rq.command import PUBSUB_CHANNEL_TEMPLATE
from rq.cron_scheduler_registry import get_registry_key

CRON_NAME = "prelabel-cron"


def listens(connection: redis.Redis, name: str) -> bool:
    """Whether a worker of this name is connected now, wherever it runs; a killed one is not."""
    ((_, subscribers),) = connection.pubsub_numsub(PUBSUB_CHANNEL_TEMPLATE % name)
    return bool(subscribers)


def cron_seen_at(connection: redis.Redis) -> float:
    """When the cron process last said that it runs (unix, by its clock); 0 where it ended, or never ran."""
    seen = connection.zscore(get_registry_key(), CRON_NAME)
    return float(seen) if isinstance(seen, float) else 0.0


def cron_registered(connection: redis.Redis) -> bool:
    return bool(cron_seen_at(connection))
