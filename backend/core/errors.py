"""Every error that prelabel raises on purpose, in one tree.

    PrelabelError
    ├── BadInputError           what the caller gave cannot be used            exit 2, HTTP 400
    │   ├── LabelConfigError    the label config is not well-formed XML        HTTP 422
    │   └── TooLargeError       more than a request may hold                   HTTP 413
    ├── AuthenticationError     credentials are missing or wrong               HTTP 401
    ├── ArtefactError           a model folder or weight file is unusable      exit 2
    │   └── ModelFolderError    a model folder; a training makes another
    ├── MissingExtraError       an optional library is not installed           exit 2
    ├── DeadlineError           work was stopped because its time was up       never leaves a pipeline
    └── OutsideError            something that is not ours failed              exit 3, HTTP 503
        ├── LabelStudioError    Label Studio refused or did not answer
        ├── QueueError          Redis refused or did not answer
        ├── VectorIndexError    Chroma refused or did not answer
        └── StateError          the state folder or the database takes no writes

A message states rule, value and remedy, and never a secret. Where it tells a value, the value is quoted (`!r`), so
that logs can leave it out: it may be a label.
"""

NOT_FOUND = 404
FAILED = 500  # the first HTTP status of those that say: the server could not, and may have begun


class PrelabelError(Exception):
    """Anything prelabel raises on purpose."""


class BadInputError(PrelabelError):
    """What the caller gave cannot be used."""


class LabelConfigError(BadInputError):
    """The label config is not well-formed XML."""


class TooLargeError(BadInputError):
    """More than one request may hold."""


class AuthenticationError(PrelabelError):
    """Credentials are missing or wrong."""


class ArtefactError(PrelabelError):
    """A model folder or a weight file is missing, damaged or of another format."""


class ModelFolderError(ArtefactError):
    """A model folder is damaged, or was made by another prelabel or for other models; a training makes another."""


class MissingExtraError(PrelabelError):
    """An optional library is not installed; the message names the pip line."""


class DeadlineError(PrelabelError):
    """Work was stopped because its time was up; what it had done by then is kept."""


class OutsideError(PrelabelError):
    """Something that is not ours failed; trying again later may help."""


class LabelStudioError(OutsideError):
    """Label Studio refused or did not answer.

    Attributes:
        status: the HTTP status, or 0 where there was no answer.
        summary: the message without Label Studio's own words, which may quote a task; for logs.
    """

    def __init__(self, message: str, *, status: int = 0, summary: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.summary = summary or message

    @property
    def gone(self) -> bool:
        """Whether what was asked for does not exist, or no longer."""
        return self.status == NOT_FOUND

    @property
    def unanswered(self) -> bool:
        """Whether what was asked may have been done all the same, wholly or in part."""
        return self.status == 0 or self.status >= FAILED


class QueueError(OutsideError):
    """Redis refused or did not answer."""


class VectorIndexError(OutsideError):
    """Chroma refused or did not answer."""


class StateError(OutsideError):
    """The state folder or the database did not take a write, or could not be read."""
