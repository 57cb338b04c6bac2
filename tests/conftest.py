"""What every test may ask for; see tests/stack.py."""

from tests.stack import backend, label_studio, models_dir, redis_url, valkey

__all__ = ["backend", "label_studio", "models_dir", "redis_url", "valkey"]
