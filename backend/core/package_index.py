"""How pip reaches the package index: settings as the environment variables that pip reads.

Standard library only: it is needed before anything is installed. Index and proxy may hold passwords, so they never
stand on a command line, and what pip says is cleaned of them before it is shown.
"""

import ipaddress
import os
import re
from collections.abc import Mapping

LOOPBACK_HOSTS = "127.0.0.1,localhost,::1"
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


def pip_environment(*, index_url: str, ca_bundle: str, proxy: str) -> dict[str, str]:
    """Variables for pip and all that it starts; those that are not set stay as the environment has them."""
    values = {"PIP_INDEX_URL": index_url, "PIP_CERT": ca_bundle, "SSL_CERT_FILE": ca_bundle}
    values |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
    if proxy:
        exceptions = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
        without = ",".join(filter(None, (exceptions, LOOPBACK_HOSTS)))
        values |= {"NO_PROXY": without, "no_proxy": without}
    return {name: value for name, value in values.items() if value}


def pip_environment_before_install(environment: Mapping[str, str]) -> dict[str, str]:
    """The same from environment variables, where settings cannot be loaded yet."""
    return pip_environment(
        index_url=environment.get("PRELABEL_INDEX_URL", ""),
        ca_bundle=environment.get("PRELABEL_CA_BUNDLE", ""),
        proxy=environment.get("PRELABEL_PROXY", ""),
    )


def without_credentials(text: str) -> str:
    """A text whose URLs have lost user and password."""
    return CREDENTIALS.sub("", text)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
