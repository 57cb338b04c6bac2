"""A model hub, as far as files go: which ones a repository holds, and each of them in pieces that add up.

Speaks the hub's HTTP routes itself, because its own library throws a download away that broke off. Knows nothing of
checksums: the store decides whether to believe what came.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests
from pydantic import SecretStr
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from backend.core.clock import duration
from backend.core.errors import ArtefactError, BadInputError, OutsideError

HUB_URL = "https://huggingface.co"
TIMEOUT_S = (10.0, 60.0)  # to connect; without a byte
ATTEMPTS = 4  # within one call; each goes on where the last broke off
PIECE = 1 << 20  # bytes between two writes
SHARE_TOLD = 0.05  # of a file between two reports
BIG = 20_000_000  # bytes from which a file's progress is told
AGAIN = "run the same command again: it goes on where it broke off"
PLAIN = {"Accept-Encoding": "identity"}  # sizes and ranges are those of the file itself


@dataclass(frozen=True)
class Repository:
    """One revision of a repository on a hub or on a mirror of it."""

    name: str  # owner/name
    revision: str  # commit, tag or branch
    url: str = HUB_URL
    token: SecretStr = field(default=SecretStr(""), repr=False)
    authorities: str = field(default="", kw_only=True)  # PEM file; empty: the built-in ones
    proxy: str = field(default="", kw_only=True, repr=False)
    pause_s: float = 1.0  # before the second attempt; doubles

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).netloc:
            raise BadInputError(f"a hub's address must begin with http:// or https://, was {self.url!r}; correct it")

    def files(self) -> list[str]:
        """The names of all files.

        Raises:
            ArtefactError: there is no such repository or revision, or it may not be read.
            OutsideError: the hub did not answer.
        """
        path = f"/api/models/{self.name}/revision/{quote(self.revision, safe='')}"
        with self._answer("GET", path, {}) as answer:
            try:
                return [str(entry["rfilename"]) for entry in answer.json()["siblings"]]
            except (ValueError, KeyError, TypeError) as err:
                raise OutsideError(f"{self.url} must list the files of {self.name}, but did not; check it") from err

    def download(self, name: str, target: Path, *, progress: Callable[[str], None]) -> None:
        """Bring one file; what lies at `target` is taken for its beginning.

        Raises:
            ArtefactError: the repository does not hold it, or it may not be read.
            OutsideError: the hub did not answer, or broke off for good; what came is kept.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        again = Retrying(
            stop=stop_after_attempt(ATTEMPTS), wait=wait_exponential(self.pause_s),
            retry=retry_if_exception_type(OutsideError), reraise=True,
        )  # fmt: skip
        again(self._go_on, name, target, progress)

    def _go_on(self, name: str, target: Path, progress: Callable[[str], None]) -> None:
        path = f"/{self.name}/resolve/{quote(self.revision, safe='')}/{quote(name)}"
        with self._answer("HEAD", path, PLAIN) as answer:
            size = size_of(answer)
        here = target.stat().st_size if target.is_file() else 0
        if here > size:
            target.unlink()
            here = 0
        if here == size and target.is_file():
            return
        if here:
            progress(f"{name}: {megabytes(here)} of {megabytes(size)} are here already")
        with self._answer("GET", path, {**PLAIN, **({"Range": f"bytes={here}-"} if here else {})}) as answer:
            self._take(answer, target, Told(name, size, progress, first=here), start=here)
        if target.stat().st_size != size:
            raise OutsideError(f"{name} must have {size} bytes, but {target.stat().st_size} came; {AGAIN}")

    def _take(self, answer: requests.Response, target: Path, told: "Told", *, start: int) -> None:
        done = start if answer.status_code == requests.codes.partial_content else 0  # else it ignored the range
        with target.open("ab" if done else "wb") as file:
            try:
                for piece in answer.iter_content(PIECE):
                    file.write(piece)
                    done += len(piece)
                    told.tell(done)
            except requests.RequestException as err:
                raise OutsideError(f"{self.url} must send all of {told.name}, but broke off; {AGAIN}") from err

    def _answer(self, method: str, path: str, headers: Mapping[str, str]) -> requests.Response:
        """An answer that is not an error. Redirects are followed; the token stays with the hub's own host."""
        token = self.token.get_secret_value()
        credentials = {"Authorization": f"Bearer {token}"} if token else {}
        address = self.url.rstrip("/") + path
        try:
            answer = requests.request(
                method, address, headers={**headers, **credentials}, timeout=TIMEOUT_S, stream=method == "GET",
                allow_redirects=True, verify=self.authorities or True,
                proxies={"http": self.proxy, "https": self.proxy} if self.proxy else None,
            )  # fmt: skip
        except requests.RequestException as err:
            raise OutsideError(
                f"the hub {self.url} must answer for {self.name}, but did not; check the network or name a mirror "
                f"(PRELABEL_HUB_URL, --mirror), then {AGAIN}"
            ) from err
        if not answer.ok:
            answer.close()
            raise refusal(answer.status_code, self, path)
        return answer


@dataclass
class Told:
    """Progress of one file, told now and then."""

    name: str
    size: int
    progress: Callable[[str], None]
    first: int = 0  # bytes that were there before
    last: int = 0
    begun: float = field(default_factory=time.monotonic)

    def tell(self, done: int) -> None:
        if self.size >= BIG and (done - self.last >= SHARE_TOLD * self.size or done == self.size):
            self.last = done
            left = f", {duration(self._left_s(done))} left" if self.first < done < self.size else ""
            self.progress(f"{self.name}: {megabytes(done)} of {megabytes(self.size)}{left}")

    def _left_s(self, done: int) -> float:
        """At the speed so far."""
        return (self.size - done) * (time.monotonic() - self.begun) / (done - self.first)


def size_of(answer: requests.Response) -> int:
    """Bytes of the file behind a HEAD request: large files are redirected, and the first answer tells their size."""
    for one in (*answer.history, answer):
        if "X-Linked-Size" in one.headers:
            return int(one.headers["X-Linked-Size"])
    if "Content-Length" not in answer.headers:
        raise OutsideError(f"{urlsplit(answer.url).netloc} must tell how large a file is, but did not; try a mirror")
    return int(answer.headers["Content-Length"])


def refusal(status: int, repository: Repository, path: str) -> ArtefactError | OutsideError:
    what = f"{repository.url}{path}"
    if status in (401, 403):
        return ArtefactError(
            f"{what} must be readable, but the hub answers {status}: accept the model's terms on the hub and set "
            "PRELABEL_HUB_TOKEN, or correct the profile"
        )
    if status == 404:
        return ArtefactError(f"{what} must exist, but the hub answers 404; correct the profile")
    return OutsideError(f"{what} must be served, but the hub answers {status}; {AGAIN}")


def megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB"
