"""What every test may ask for; see tests/stack.py."""

from tests.stack import backend, chroma_server, label_studio, models_dir, redis_url, valkey

__all__ = ["backend", "chroma_server", "label_studio", "models_dir", "redis_url", "valkey"]
