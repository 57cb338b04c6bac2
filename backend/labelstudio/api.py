"""The one seam to Label Studio's API: the SDK sends, and knows nothing of what is asked. SDK objects stay here.

Reads are retried by the SDK; writes never are, because Label Studio deduplicates nothing.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
from label_studio_sdk.core.client_wrapper import SyncClientWrapper

from backend.core.errors import LabelStudioError
from backend.core.settings import Settings
from backend.labelstudio.failures import refused, translated
from backend.labelstudio.records import Json

READ_TIMEOUT_S = 60.0
PUSH_TIMEOUT_S = 900.0  # one push of 40,000 predictions takes half a minute on SQLite
READ_RETRIES = 2


@dataclass(frozen=True, slots=True)
class Api:
    """Requests by path. Methods raise LabelStudioError, with the status where there was an answer."""

    sdk: SyncClientWrapper
    url: str
    transport: httpx.Client
    proxied: bool = False

    def page(self, params: Json) -> Json:
        try:
            return self.json("GET", "api/tasks", params=params)
        except LabelStudioError as err:
            if not err.gone or params["page"] == 1:
                raise
            return {"tasks": [], "total": 0}  # a page past the end, because tasks vanished meanwhile

    def json(self, method: str, path: str, **options: Any) -> Json:
        answer = self._decoded(method, path, **options)
        if not isinstance(answer, dict):
            raise LabelStudioError(f"{method} {path} must answer a JSON object; is {self.url} a Label Studio?")
        return answer

    def json_list(self, method: str, path: str, **options: Any) -> list[Json]:
        answer = self._decoded(method, path, **options)
        if not isinstance(answer, list):
            raise LabelStudioError(f"{method} {path} must answer a JSON list; is {self.url} a Label Studio?")
        return answer

    def _decoded(self, method: str, path: str, **options: Any) -> object:
        answer = self.call(method, path, **options)
        try:
            return answer.json()
        except ValueError as err:
            raise LabelStudioError(f"{method} {path} must answer JSON; is {self.url} a Label Studio?") from err

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = self.send(method, path, **options)
        if not answer.is_success:
            raise refused(f"{method} {path}", answer)
        return answer

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """An answer of any status. One that was refused for its access token is asked for again with a new one.

        The SDK takes a token for good until its last second, by this machine's clock.
        """
        answer = self._request(method, path, **options)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self.sdk._tokens_client._access_token = None
            answer = self._request(method, path, **options)
        return answer

    def _request(
        self, method: str, path: str, *, params: Json | None = None, body: object = None, file: IO[bytes] | None = None,
        timeout_s: float = READ_TIMEOUT_S, retries: int = READ_RETRIES,
    ) -> httpx.Response:  # fmt: skip
        """`file` is a body that is sent from its beginning, and never held whole.

        `retries` are those of a GET: no write is ever repeated whose end nobody saw.
        """
        if file is not None:
            file.seek(0)
        with translated(f"{method} {path}", proxied=self.proxied):
            answer: httpx.Response = self.sdk.httpx_client.request(
                path,
                method=method,
                params=params,
                json=body,
                content=file,
                headers={"Content-Type": "application/json"} if body is not None or file is not None else None,
                request_options={
                    "timeout_in_seconds": int(timeout_s),
                    "max_retries": retries if method == "GET" else 0,
                },
            )
        return answer

    def download(self, path: str, params: Json, target: Path) -> None:
        """What a GET answers, streamed to a file."""
        stream = self.sdk.httpx_client.stream
        options = {"timeout_in_seconds": int(PUSH_TIMEOUT_S), "max_retries": READ_RETRIES}
        with (
            translated(f"GET {path}", proxied=self.proxied),
            stream(path, method="GET", params=params, request_options=options) as answer,  # type: ignore[arg-type]
            target.open("wb") as file,
        ):
            if answer.status_code != httpx.codes.OK:
                answer.read()
                raise refused(f"GET {path}", answer)
            for part in answer.iter_bytes():
                file.write(part)


def open_api(settings: Settings) -> Api:
    """The way to the settings' URL, with their token; nothing is sent yet.

    Raises:
        LabelStudioError: the settings hold no token.
    """
    token = settings.label_studio_token.get_secret_value()
    if not token:
        raise LabelStudioError(
            "PRELABEL_LABEL_STUDIO_TOKEN must hold a personal access token, is empty; set it (Label Studio shows "
            "one under Account & Settings), or run this where `prelabel up` did: .prelabel/prelabel.env has it",
            status=401,
        )
    url = settings.label_studio_url.rstrip("/")
    proxy = settings.proxy_for(url)
    transport = httpx.Client(
        timeout=READ_TIMEOUT_S, follow_redirects=True, trust_env=False, proxy=proxy or None,
        verify=ssl.create_default_context(cafile=settings.authorities),
    )  # fmt: skip
    # with the slash, because without it the SDK asks for its tokens beside a sub-path, not under it
    # the SDK's sender alone: its client brings pandas and a faker of data, 60 MB that nothing here needs
    sdk = SyncClientWrapper(base_url=f"{url}/", api_key=token, httpx_client=transport)
    return Api(sdk, url, transport, bool(proxy))
