"""Label Studio behind TLS with an authority of its own, under a sub-path, and behind a proxy: all for real."""

import base64
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from backend.connection.connect import ConnectOptions, connect
from backend.connection.doctor.examination import examine
from backend.core.errors import BadInputError, LabelStudioError
from backend.core.settings import Settings
from backend.labelstudio.client import PAGE, open_client
from backend.labelstudio.wire import choice
from backend.loop.desk import Desk
from tests.label_studios import label_studio_of_defaults
from tests.relays import Relay, relaying
from tests.stack import RunningLabelStudio, free_port, make_backend
from training.dataset import read_export

pytestmark = [pytest.mark.label_studio]

NAME, PREFIX = "labels.internal", "/labels"
CONFIG = """<View><Text name="text" value="$text"/><Choices name="c" toName="text">
<Choice value="praise"/><Choice value="complaint"/></Choices></View>"""


@dataclass(frozen=True)
class Front:
    """The TLS server that people see, and what one must know to go through it."""

    relay: Relay
    token: str
    ca_file: Path

    def settings(self, host: str = "127.0.0.1", **values: object) -> Settings:
        port = f":{self.relay.port}" if host != NAME else ""
        given = {
            "label_studio_url": f"https://{host}{port}{PREFIX}/",
            "label_studio_token": self.token,
            "ca_bundle": str(self.ca_file),
        }
        return Settings(**{**given, **values})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", NAME).configure_cert(tls)
    with relaying(Relay(("127.0.0.1", 0), prefix=PREFIX, tls=tls)) as relay:
        host = f"https://127.0.0.1:{relay.port}{PREFIX}"
        with label_studio_of_defaults(folder / "label-studio", host=host) as inner:
            relay.target = inner.program.address
            yield Front(relay, inner.token, folder / "authority.pem")


@pytest.mark.redis
def test_a_project_is_connected_filled_predicted_and_read_under_a_sub_path(
    front: Front, tmp_path: Path, redis_url: str, models_dir: Path
) -> None:
    known = front.settings()
    values = {
        "PRELABEL_REDIS_URL": redis_url,
        "PRELABEL_LABEL_STUDIO_URL": known.label_studio_url,
        "PRELABEL_LABEL_STUDIO_TOKEN": front.token,
        "PRELABEL_CA_BUNDLE": known.ca_bundle,
    }
    backend = make_backend(tmp_path / "home", values, models_dir)
    with Desk(backend.settings) as desk:
        client = desk.client
        project = client.create_project(title="behind TLS", label_config=CONFIG)
        ids = client.import_tasks(project.id, [{"text": f"a fine thing, number {n}"} for n in range(PAGE + 20)])
        version = connect(desk, project, ConnectOptions(language="en", push_only=True), lambda _: None)
        tasks = list(client.tasks(project.id))
        assert [task.id for task in tasks] == ids, "the pages that follow are found under the sub-path, too"
        assert all(task.predictions[0]["model_version"] == version for task in tasks)
        assert client.project(project.id).model_version == version
        client.create_annotation(ids[0], [choice(desk.project(str(project.key)).control, "praise")])
        client.export(project.id, tmp_path / "export.json")
        assert [task.id for task in read_export(tmp_path / "export.json")] == [ids[0]]
        assert project.id in {item.id for item in client.projects()}
        found = {check.name: check for check in examine(desk)}
        assert found["Label Studio"].ok
        assert found["token"].ok
    assert all(PREFIX in asked for asked in front.relay.asked)


def test_without_the_authority_the_setting_is_named(front: Front) -> None:
    named = pytest.raises(LabelStudioError, match="PRELABEL_CA_BUNDLE must name a PEM file")
    with closing(open_client(front.settings(ca_bundle=""))) as client, named:
        client.whoami()
    with Desk(front.settings(ca_bundle="")) as desk:
        check = next(iter(examine(desk)))
    assert not check.ok
    assert "PRELABEL_CA_BUNDLE must name" in check.remedy


def test_a_name_that_is_not_in_the_certificate_is_not_remedied_by_an_authority(front: Front) -> None:
    named = pytest.raises(LabelStudioError, match="must use a name that stands in the certificate")
    with closing(open_client(front.settings("localhost"))) as client, named:
        client.whoami()


@pytest.mark.parametrize(("case", "content"), [("missing", None), ("no certificate in it", "hello")])
def test_a_bundle_that_is_none_is_said_before_anything_is_sent(tmp_path: Path, case: str, content: str | None) -> None:
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    settings = Settings(label_studio_token=SecretStr("0" * 40), ca_bundle=str(path))
    with pytest.raises(BadInputError, match=r"PRELABEL_CA_BUNDLE must name a PEM file .*bundle\.pem"):
        open_client(settings)


def test_a_proxy_carries_every_call_but_those_to_this_machine(label_studio: RunningLabelStudio) -> None:
    url, token = f"http://{NAME}:8080", SecretStr(label_studio.token)
    with relaying(Relay(label_studio.program.address)) as proxy:
        setting = SecretStr(f"http://me:s3cret@127.0.0.1:{proxy.port}")
        with closing(open_client(Settings(proxy=setting, label_studio_token=token, label_studio_url=url))) as client:
            assert client.whoami()["email"] == label_studio.email
            client.projects()
        assert len(proxy.asked) == 3, "token, whoami, projects"
        assert all(f" {url}/api/" in asked for asked in proxy.asked)
        assert proxy.authorizations == {"Basic " + base64.b64encode(b"me:s3cret").decode()}
        here = Settings(proxy=setting, label_studio_token=token, label_studio_url=label_studio.url)
        with closing(open_client(here)) as client:
            client.whoami()
        assert len(proxy.asked) == 3


def test_tls_goes_through_a_proxy_unopened(front: Front) -> None:
    with relaying(Relay(("127.0.0.1", front.relay.port))) as proxy:
        settings = front.settings(NAME, proxy=SecretStr(f"http://127.0.0.1:{proxy.port}"))
        with closing(open_client(settings)) as client:
            client.whoami()
        with Desk(settings) as desk:
            assert next(iter(examine(desk))).ok
        assert set(proxy.asked) == {f"CONNECT {NAME}:443"}


def test_a_proxy_that_is_away_is_named_without_its_password() -> None:
    proxy = SecretStr(f"http://me:s3cret@127.0.0.1:{free_port()}")
    settings = Settings(label_studio_url=f"http://{NAME}", label_studio_token=SecretStr("0" * 40), proxy=proxy)
    with closing(open_client(settings)) as client, pytest.raises(LabelStudioError, match="PRELABEL_PROXY") as raised:
        client.whoami()
    assert "s3cret" not in str(raised.value)
