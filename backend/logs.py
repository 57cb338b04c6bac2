"""Logs: one JSON object a line on standard error. No text, no label and no secret is ever logged.

One id, `trace`, leads from an HTTP request through the job that it asked for and the jobs that this one asked for.
"""

import logging
import os
import re
import sys
import uuid

import structlog
from structlog.typing import EventDict, Processor

from backend.core.code_version import code_version
from backend.core.errors import LabelStudioError, PrelabelError

TRACE = re.compile(r"[A-Za-z0-9._-]{1,64}")
QUOTED = re.compile(  # how errors, ours and libraries', quote a value; one that never ends is all that follows
    r"""(?<!\w)b?(['"])(?:\\.|[^\\])*?(?:\1(?!\w)|\\?\Z)""", re.DOTALL
)


def configure_logs(level: str) -> None:
    """Send structlog's lines and the libraries' warnings to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)  # some libraries set their own loggers' levels when they are imported
    common = (
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    )
    last = structlog.processors.JSONRenderer(ensure_ascii=False)
    of_library: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _without_values, *common], processors=of_library
        )
    )
    logging.basicConfig(handlers=[handler])
    of_server = logging.getLogger("gunicorn.error")  # its own handler would quote a request that cannot be read
    of_server.handlers, of_server.propagate = [], True
    structlog.configure(
        processors=[*common, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # a line is one write, or two threads' would mix
        cache_logger_on_first_use=False,
    )


def say_started(process: str) -> None:
    """Begin a process's log with what it is, so that every log tells which prelabel wrote it."""
    structlog.get_logger().info("started", process=process, prelabel=code_version(), pid=os.getpid())


def told(err: BaseException) -> dict[str, str]:
    """What a log may say of an error: its kind, where it arose, and, of our own, the message without quoted values."""
    frame = err.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    found = {
        "error": type(err).__name__,
        "where": f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "",
    }
    if isinstance(err, PrelabelError):
        message = err.summary if isinstance(err, LabelStudioError) else str(err)
        found["message"] = without_values(message)
    return found


def without_values(message: str) -> str:
    """A message whose quoted parts, which may be a task's text or a label, are gone."""
    return QUOTED.sub("'...'", message)


def new_trace(given: str = "") -> str:
    """An id for what follows from here: the given one where it is a short, harmless token."""
    return given if TRACE.fullmatch(given) else uuid.uuid4().hex[:16]


def present_trace() -> str:
    """The id of what this thread works on; a new one where it has none."""
    return str(structlog.contextvars.get_contextvars().get("trace") or new_trace())


def _without_values(_logger: object, _method: str, line: EventDict) -> EventDict:
    """A library's line: its traceback is left out but for the error's kind and place."""
    error = line.pop("exc_info", None)
    line.pop("stack_info", None)
    seen = told(error[1]) if isinstance(error, tuple) and error[1] is not None else {}
    return {**line, "event": without_values(str(line["event"])), **seen}
