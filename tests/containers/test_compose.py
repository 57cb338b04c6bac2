"""The compose file as Docker Compose reads it: what it lets in and out, what it asks for, what it limits."""

import json
import re
import stat
import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from backend.core.settings import Settings
from tests.containers.compose import Compose, new_settings
from tests.stack import ROOT

SECRETS = [
    "PRELABEL_LABEL_STUDIO_PASSWORD", "PRELABEL_PASSWORD", "PRELABEL_WEBHOOK_SECRET", "LABEL_STUDIO_SECRET",
    "POSTGRES_PASSWORD", "LABEL_STUDIO_DB_PASSWORD", "PRELABEL_DB_PASSWORD", "VALKEY_PASSWORD",
]  # fmt: skip
RESERVED = (  # Label Studio 1.23's own list
    "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,192.0.0.0/24,192.0.2.0/24,"
    "192.88.99.0/24,192.168.0.0/16,198.18.0.0/15,198.51.100.0/24,203.0.113.0/24,224.0.0.0/4,233.252.0.0/24,240.0.0.0/4,"
    "255.255.255.255/32,::/128,::1/128,::ffff:0:0/96,::ffff:0:0:0/96,64:ff9b::/96,64:ff9b:1::/48,100::/64,2001::/32,"
    "2001:20::/28,2001:db8::/32,2002::/16,fc00::/7,fe80::/10,ff00::/8"
)
OURS = ("web", "worker", "trainer", "cron", "connect")


def ipv4(networks: Sequence[IPv4Network | IPv6Network]) -> list[IPv4Network]:
    return [network for network in networks if isinstance(network, IPv4Network)]


def ipv6(networks: Sequence[IPv4Network | IPv6Network]) -> list[IPv6Network]:
    return [network for network in networks if isinstance(network, IPv6Network)]


def config_of(folder: Path, **values: str) -> Any:
    compose = Compose(folder, "prelabel-config", {**new_settings(), **values})
    return json.loads(compose.succeed("--profile", "gpu", "config", "--format", "json"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return config_of(tmp_path_factory.mktemp("compose"))


@pytest.mark.parametrize("name", SECRETS)
def test_a_missing_secret_is_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    values = {key: value for key, value in new_settings().items() if key != name}
    done = Compose(tmp_path, "prelabel-config", values).run("config", "--quiet")
    assert done.returncode != 0
    assert f"required variable {name} is missing a value: run `make .env`, or set it to" in done.stderr


def test_make_env_writes_new_secrets_for_the_owners_eyes_alone(tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    (folder / "containers").mkdir(parents=True)
    for name in ("Makefile", ".env.example", "containers/secrets.sh"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "containers/secrets.sh").chmod(0o755)
    subprocess.run(["make", "-s", ".env"], cwd=folder, check=True, capture_output=True)
    written = folder / ".env"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    first, second = written.read_text(encoding="utf-8"), new_settings()
    assert set(SECRETS) <= second.keys()
    for name in SECRETS:
        assert len(second[name]) == 48
        assert second[name] not in first


def test_every_variable_that_it_reads_is_documented() -> None:
    read = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    documented = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert {name for name in read if f"{name}=" not in documented} == set()


def test_every_setting_of_prelabel_is_documented() -> None:
    documented = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = {f"PRELABEL_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in names if f"{name}=" not in documented} == set()


def test_one_port_is_published_and_only_on_this_machine(config: Any) -> None:
    published = {name: service["ports"] for name, service in config["services"].items() if service.get("ports")}
    assert list(published) == ["label-studio"]
    assert [(port["host_ip"], port["published"]) for port in published["label-studio"]] == [("127.0.0.1", "8080")]


def test_who_sets_the_address_opens_it(tmp_path: Path) -> None:
    config = config_of(tmp_path, LS_BIND="0.0.0.0", LS_PORT="80")
    assert [(port["host_ip"], port["published"]) for port in config["services"]["label-studio"]["ports"]] == [
        ("0.0.0.0", "80")
    ]


def test_only_label_studio_has_a_way_out(config: Any) -> None:
    leads_out = {name for name, network in config["networks"].items() if not network.get("internal")}
    assert leads_out == {"outside"}
    assert {name for name, service in config["services"].items() if leads_out & service["networks"].keys()} == {
        "label-studio"
    }


def test_label_studio_meets_web_alone_where_it_may_call(config: Any) -> None:
    services = config["services"]
    assert {name for name, service in services.items() if "calls" in service["networks"]} == {"label-studio", "web"}
    shared = services["label-studio"]["networks"].keys() & services["valkey"]["networks"].keys()
    assert shared == set(), "the queue is none of its business"


def test_label_studio_may_call_of_all_that_is_reserved_the_address_of_web_alone(config: Any) -> None:
    environment = config["services"]["label-studio"]["environment"]
    address = ip_network(config["services"]["web"]["networks"]["calls"]["ipv4_address"])
    assert environment["LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS"] == "false"
    banned = [ip_network(each) for each in environment["LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS"].split(",")]
    reserved = [ip_network(each) for each in RESERVED.split(",")]
    assert not any(address.overlaps(network) for network in ipv4(banned))
    assert list(collapse_addresses([*ipv4(banned), *ipv4([address])])) == list(collapse_addresses(ipv4(reserved)))
    assert list(collapse_addresses(ipv6(banned))) == list(collapse_addresses(ipv6(reserved)))


def test_every_address_has_a_dot_and_is_a_name_on_a_network_that_both_are_on(config: Any) -> None:
    services = config["services"]
    names = {
        (alias, network)
        for service in services.values()
        for network, options in service["networks"].items()
        for alias in (options or {}).get("aliases", ())
    }
    for name in OURS:
        environment = services[name]["environment"]
        for setting in ("PRELABEL_LABEL_STUDIO_URL", "PRELABEL_REDIS_URL", "PRELABEL_DATABASE_URL"):
            host = urlsplit(environment[setting]).hostname
            if name == "web" and setting == "PRELABEL_LABEL_STUDIO_URL":
                continue  # it never calls Label Studio
            assert any((host, network) in names for network in services[name]["networks"]), (name, setting)
        assert (urlsplit(environment["PRELABEL_WEB_URL"]).hostname, "calls") in names
    assert all("." in alias for alias, _ in names)


def test_sign_up_is_closed_and_nothing_calls_home(config: Any) -> None:
    environment = config["services"]["label-studio"]["environment"]
    assert environment["LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK"] == "true"
    assert [environment[name] for name in ("COLLECT_ANALYTICS", "SENTRY_DSN", "LATEST_VERSION_CHECK")] == [
        "false", "", "false",
    ]  # fmt: skip


def test_memory_and_logs_are_limited_and_whoever_stays_is_looked_after(config: Any) -> None:
    for name, service in config["services"].items():
        assert int(service["mem_limit"]) > 0, name
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}, name
        if name != "connect":
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name
        for volume in service["volumes"]:
            assert volume["type"] == "volume" or volume["read_only"], f"{name} writes to the machine"


def test_what_is_ours_can_change_nothing_but_its_state(config: Any) -> None:
    for name in OURS:
        service = config["services"][name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert [volume["target"] for volume in service["volumes"]] == ["/var/lib/prelabel"], name


def test_whoever_starts_waits_for_what_it_needs(config: Any) -> None:
    waits = {
        name: {other: how["condition"] for other, how in service.get("depends_on", {}).items()}
        for name, service in config["services"].items()
    }
    healthy = "service_healthy"
    assert waits["label-studio"] == {"postgres": healthy}
    assert waits["web"] == {"postgres": healthy, "valkey": healthy}
    assert waits["connect"] == {"label-studio": healthy, "web": healthy}
    for name in ("worker", "trainer", "cron"):
        assert waits[name]["connect"] == "service_completed_successfully"


def test_images_of_others_have_a_version(config: Any) -> None:
    images = {name: service["image"] for name, service in config["services"].items() if name not in OURS}
    assert images["label-studio"].startswith("heartexlabs/label-studio:1.23.")
    assert all(re.search(r":v?\d", image) for image in images.values()), images


def test_the_language_model_on_a_gpu_starts_only_where_it_is_asked_for(config: Any, tmp_path: Path) -> None:
    assert config["services"]["vllm"]["profiles"] == ["gpu"]
    plain = Compose(tmp_path, "prelabel-config").succeed("config", "--services").split()
    assert "vllm" not in plain
    for name in ("web", "worker"):
        assert "voters" in config["services"][name]["networks"]
