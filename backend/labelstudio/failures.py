"""What goes wrong between prelabel and Label Studio, in words: the rule, what was seen, and what to do about it."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from label_studio_sdk.core.api_error import ApiError

from backend.core.errors import BadInputError, LabelStudioError

REFUSED_ADDRESS = "reserved network"  # what Label Studio says of an address that its SSRF protection keeps it from
CALL_OUT = "start Label Studio with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false, or use --push-only"


@contextmanager
def translated(what: str, *, proxied: bool) -> Iterator[None]:
    """Turn what SDK and transport raise into LabelStudioError."""
    try:
        yield
    except ApiError as err:
        status = err.status_code or 0
        raise LabelStudioError(_explain(what, status, ""), status=status) from err
    except httpx.HTTPError as err:
        raise LabelStudioError(_unreached(what, err, proxied=proxied)) from err
    except json.JSONDecodeError as err:  # from the SDK, where a page answers instead of a token
        raise LabelStudioError(f"{what} must answer JSON; is it a Label Studio? check its URL") from err
    except UnicodeEncodeError as err:  # escaped, Label Studio would take it, and fail ever after on that project
        raise BadInputError(f"{what} must send no half of a surrogate pair; repair the text") from err


def refused(what: str, answer: httpx.Response) -> LabelStudioError:
    """An answer that is not a success, as an error."""
    status, said = answer.status_code, said_in(answer)[:300]
    return LabelStudioError(_explain(what, status, said), status=status, summary=_explain(what, status, ""))


def said_in(answer: httpx.Response) -> str:
    """What an answer that is not a success says; empty where it says nothing that can be read."""
    try:
        body = answer.json()
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    return str(body.get("validation_errors") or body.get("detail") or body.get("error") or "")


def _unreached(what: str, err: BaseException, *, proxied: bool) -> str:
    if isinstance(err, httpx.ProxyError):
        return f"{what}: the proxy must let prelabel through, but did not ({err}); check PRELABEL_PROXY"
    distrust = _distrust(err)
    if distrust is None:
        way = ", and the proxy in PRELABEL_PROXY" if proxied else ""
        problem = f"Label Studio must answer, but did not ({type(err).__name__})"
        return f"{what}: {problem}; check its URL and that it runs{way}"
    return (
        f"{what}: Label Studio's certificate must be trusted, but is not ({distrust}); {certificate_remedy(distrust)}"
    )


def _distrust(err: BaseException | None) -> str | None:
    """Why a certificate was refused, in the words of the TLS library; None where that is not what went wrong."""
    while err is not None:
        if isinstance(err, ssl.SSLCertVerificationError):
            return str(err.verify_message)
        err = err.__cause__ or err.__context__
    return None


def certificate_remedy(distrust: str) -> str:
    if "mismatch" in distrust:
        return "PRELABEL_LABEL_STUDIO_URL must use a name that stands in the certificate"
    if "expired" in distrust or "not yet valid" in distrust:
        return "renew it, or correct a clock"
    return "PRELABEL_CA_BUNDLE must name a PEM file that holds the authority which signed it"


def _explain(what: str, status: int, detail: str) -> str:
    remedies = {
        401: "the token is wrong or expired; make a new personal access token and set PRELABEL_LABEL_STUDIO_TOKEN",
        403: "this account may not; use a token of an account with write access",
        404: "no such thing; was it deleted?",
    }
    remedy = CALL_OUT if REFUSED_ADDRESS in detail else remedies.get(status, "")
    return f"{what} must succeed, but Label Studio answered {status} {detail} {remedy}".replace("  ", " ").strip()
