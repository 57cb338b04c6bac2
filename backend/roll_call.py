"""Who is at work on the queue now: workers by name, and the process that keeps time."""

from collections import Counter

import redis
from rq import Worker
from rq.command import PUBSUB_CHANNEL_TEMPLATE
from rq.cron_scheduler_registry import get_registry_key

CRON_NAME = "prelabel-cron"


def listens(connection: redis.Redis, name: str) -> bool:
    """Whether a worker of this name is connected now, wherever it runs; a killed one is not."""
    ((_, subscribers),) = connection.pubsub_numsub(PUBSUB_CHANNEL_TEMPLATE % name)
    return bool(subscribers)


def listeners(connection: redis.Redis) -> Counter[str]:
    """How many workers are connected now, by the name of each queue that they take jobs from."""
    prefix = PUBSUB_CHANNEL_TEMPLATE % ""
    channels = connection.pubsub_channels(f"{prefix}*")
    names = [channel.decode().removeprefix(prefix) for channel in channels if isinstance(channel, bytes)]
    taken = [connection.hget(f"{Worker.redis_worker_namespace_prefix}{name}", "queues") for name in names]
    return Counter(name for each in taken if isinstance(each, bytes) for name in each.decode().split(","))


def cron_seen_at(connection: redis.Redis) -> float:
    """When the cron process last said that it runs (unix, by its clock); 0 where it ended, or never ran."""
    seen = connection.zscore(get_registry_key(), CRON_NAME)
    return float(seen) if isinstance(seen, float) else 0.0


def cron_registered(connection: redis.Redis) -> bool:
    return bool(cron_seen_at(connection))
