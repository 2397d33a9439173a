import ipaddress
import threading
from pathlib import Path

import pytest

from onecopy.errors import CallbackRefused, OptionError, StateFolderError, WebhookKeyInvalid
from onecopy.webhooks import Endpoint, Webhooks
from onecopy.webhooks.config import agreed
from onecopy.webhooks.keys import PrivateKey, Secret
from tests.webhooks.keys import OTHER_SECRET, PRIVATE, SECRET


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SECRET", "ALLOW", "PRIVATE_KEY"):
        monkeypatch.delenv(f"ONECOPY_WEBHOOK_{name}", raising=False)
    monkeypatch.setenv("ONECOPY_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONECOPY_WEBHOOK_SECRET", f"{SECRET} {OTHER_SECRET}")
    monkeypatch.setenv("ONECOPY_WEBHOOK_ALLOW", "127.0.0.0/8, 10.1.2.3,fd00::/8")
    monkeypatch.setenv("ONECOPY_WEBHOOK_PRIVATE_KEY", PRIVATE.write())
    config = Webhooks()
    assert [each.key for each in config.secrets] == [b"a" * 32, b"b" * 32]
    assert [str(each) for each in config.allow] == ["127.0.0.0/8", "10.1.2.3/32", "fd00::/8"]
    assert config.key() == PRIVATE
    assert len(config.signers().of("https://example.com/")) == 3


def test_what_the_app_says_goes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONECOPY_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("ONECOPY_WEBHOOK_ALLOW", "127.0.0.0/8")
    config = Webhooks(secrets=[OTHER_SECRET], allow=["::1"], private_key=PRIVATE.write())
    assert config.secrets == (Secret.read(OTHER_SECRET),)
    assert config.allow == (ipaddress.ip_network("::1"),)
    assert Webhooks(secrets=[], allow=[]).secrets == Webhooks(allow="").allow == ()


def test_urls_are_checked_as_they_are_written() -> None:
    urls = ["https://example.com/a", "https://10.1.2.3/", "https://example.com/a"]
    assert Webhooks(urls=urls, allow="10.1.0.0/16").urls == tuple(urls[:2])
    for url in ("http://example.com/", "https://127.0.0.1/", "example.com"):
        with pytest.raises(CallbackRefused):
            Webhooks(urls=[url])
    with pytest.raises(CallbackRefused):
        Webhooks(urls="http://10.1.2.3/")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET", "hunter2"),
        ("SECRET", f"{SECRET} hunter2"),
        ("ALLOW", "localhost"),
        ("ALLOW", "127.0.0.1/8"),
        ("PRIVATE_KEY", "hunter2"),
        ("PRIVATE_KEY", SECRET),
    ],
)
def test_what_cannot_be_had(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ONECOPY_WEBHOOK_{name}", value)
    with pytest.raises(OptionError, match=f"ONECOPY_WEBHOOK_{name}") as raised:
        Webhooks()
    assert "hunter2" not in str(raised.value)
    assert "YWFh" not in str(raised.value)


def test_an_endpoint_has_secrets_of_its_own() -> None:
    own = Endpoint("https://example.com/own", secrets=OTHER_SECRET)
    config = Webhooks(urls=["https://example.com/", own], secrets=SECRET)
    assert config.urls == ("https://example.com/", own.url)
    signers = config.signers()
    assert signers.of(own.url)[:-1] == own.secrets == (Secret.read(OTHER_SECRET),)
    assert signers.of("https://example.com/")[:-1] == (Secret.read(SECRET),)
    with pytest.raises(WebhookKeyInvalid):
        Endpoint("https://example.com/", secrets="hunter2")
    with pytest.raises(OptionError, match="with different secrets"):
        Webhooks(urls=[own, Endpoint(own.url, secrets=SECRET)])


def test_what_several_apps_of_a_process_say() -> None:
    own = Endpoint("https://example.com/own", secrets=OTHER_SECRET)
    first, second = Webhooks(secrets=SECRET), Webhooks(urls=[own], secrets=SECRET)
    together = agreed([first, second])
    assert together is not None
    assert together.signers().of(own.url)[:-1] == own.secrets
    assert first.endpoints == ()
    with pytest.raises(OptionError, match="different keys"):
        agreed([first, Webhooks(secrets=OTHER_SECRET)])
    with pytest.raises(OptionError, match="with different secrets"):
        agreed([second, Webhooks(urls=[Endpoint(own.url, secrets=SECRET)], secrets=SECRET)])


def test_nothing_secret_is_shown() -> None:
    own = Endpoint("https://example.com/", secrets=SECRET)
    shown = repr(Webhooks(urls=[own], secrets=SECRET, private_key=PRIVATE.write()))
    assert "YWFh" not in shown
    assert "aaaa" not in shown
    assert "PrivateKey" not in shown


def test_a_key_is_made_once_for_all_processes_of_a_state_folder(folder: Path) -> None:
    keys: list[str] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        keys.append(Webhooks().key().public)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [path.name for path in folder.iterdir()] == ["webhook-key"]
    assert (folder / "webhook-key").stat().st_mode & 0o777 == 0o600
    assert PrivateKey.read((folder / "webhook-key").read_text().strip()).public == keys[0]


def test_a_key_file_that_is_damaged_is_said_and_kept(folder: Path) -> None:
    folder.mkdir()
    (folder / "webhook-key").write_text("")
    with pytest.raises(StateFolderError, match="webhook-key is damaged"):
        Webhooks().key()
    (folder / "webhook-key").write_bytes(b"\xff")
    with pytest.raises(StateFolderError, match="webhook-key"):
        Webhooks().key()


def test_a_state_folder_that_cannot_be_used(folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(StateFolderError):
        Webhooks().key()
