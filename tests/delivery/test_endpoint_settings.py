"""What destinations.yml may say of an endpoint, and what a careless or hostile author writes."""

from __future__ import annotations

import json

import pytest

from delivery.destinations import read_destinations
from delivery.disclosures import Directory
from delivery.endpoints import networks
from delivery.endpoints.outcome import EndpointFailed
from delivery.transmission.endpoints import require_endpoints
from jobs.cli import run as run_command
from lakehouse.errors import SettingsInvalid
from lakehouse.settings.settings import load_settings

URL = "https://engine.example/audiences"


def workspace(make_workspace, place: dict):
    text = json.dumps({"destinations": {"engine": {"description": "an engine", **place}}})
    return make_workspace({"destinations.yml": text})


def http(url: str = URL, **more) -> dict:
    return {"kind": "http", "http": {"url": url, **more}}


def postgresql(**more) -> dict:
    place = {
        "host": "db.example",
        "database": "dw",
        "user": "cdp",
        "schema_name": "audiences",
        "password_secret": "dw_password",
    }
    return {"kind": "postgresql", "postgresql": {**place, **more}}


def kafka(**more) -> dict:
    place = {"brokers": ["kafka1.example:9093"], "topic_prefix": "audiences.", "user": "cdp", "password_secret": "stream_password"}  # fmt: skip
    return {"kind": "kafka", "kafka": {**place, **more}}


REFUSED = {
    "credentials": (http("https://ann:secret-word@engine.example/"), "holds a user or a password"),
    "a user": (http("https://ann@engine.example/"), "holds a user or a password"),
    "a token": (http("https://engine.example/?token=secret-word"), "keep a token as a secret"),
    "a file": (http("file:///etc/passwd"), "must begin with https://"),
    "another scheme": (http("gopher://engine.example/"), "must begin with https://"),
    "plain HTTP": (http("http://engine.example/"), "set plain_http: true"),
    "no host": (http("https:///audiences"), "names no host"),
    "a line break": (http("https://engine.example/\r\nX-Evil: 1"), "has a sign that no URL has"),
    "a wrong port": (http("https://engine.example:99999/"), "cannot be read"),
    "metadata": (http("https://169.254.169.254/latest"), "machines' own services"),
    "metadata as one number": (http("https://2852039166/latest"), "machines' own services"),
    "metadata in hexadecimal": (http("https://0xa9fea9fe/latest"), "machines' own services"),
    "metadata as IPv6": (http("https://[::ffff:169.254.169.254]/"), "machines' own services"),
    "metadata of another cloud": (http("https://100.100.100.200/"), "machines' own services"),
    "this machine": (http("https://127.0.0.1/"), "this machine itself"),
    "this machine in short": (http("https://127.1/"), "this machine itself"),
    "no networks": (http(networks=["everything"]), "write networks like"),
    "a password in the file": (http(password="secret-word"), "password"),
    "an unknown kind": ({"kind": "mqtt"}, "folder"),
    "no settings": ({"kind": "http"}, "needs http:"),
    "settings of another kind": ({"http": {"url": URL}}, "'http' is no key of a destination of kind folder"),
    "a hostile secret": (http(credential_secret="../../etc/passwd"), "credential_secret"),
    "no time": (http(timeout_seconds=0), "timeout_seconds"),
    "a database's URL": (postgresql(host="postgresql://ann:secret-word@db.example/dw"), "name or address of a machine alone"),
    "a database's password": (postgresql(password="secret-word"), "password"),
    "a user at a host": (postgresql(host="ann:secret-word@db.example"), "name or address of a machine alone"),
    "a database on this machine": (postgresql(host="127.0.0.1"), "this machine itself"),
    "a database on this machine in IPv6": (postgresql(host="::1"), "this machine itself"),
    "a database beside metadata": (postgresql(host="169.254.169.254"), "machines' own services"),
    "a schema that would be cut": (postgresql(schema_name="s" * 64), "at most 63 bytes"),
    "a schema with a NUL": (postgresql(schema_name=b"a\\0b".decode("unicode_escape")), "destinations.yml"),
    "no schema": ({"kind": "postgresql", "postgresql": {"host": "db.example"}}, "database"),
    "no password": (postgresql(password_secret=None), "password_secret"),
    "a batch that is too large": (postgresql(batch_rows=100_000), "batch_rows"),
    "a database and a URL": ({**postgresql(), "http": {"url": URL}}, "'http' is no key of a destination of kind postgresql"),
    "a cluster's URL": (kafka(brokers=["SASL_SSL://ann:secret-word@kafka1.example:9093"]), "a broker is host:port alone"),
    "a user at a broker": (kafka(brokers=["ann:secret-word@kafka1.example:9093"]), "a broker is host:port alone"),
    "a broker without a port": (kafka(brokers=["kafka1.example"]), "a broker is host:port alone"),
    "a broker with a wrong port": (kafka(brokers=["kafka1.example:99999"]), "a broker is host:port alone"),
    "no brokers": (kafka(brokers=[]), "brokers"),
    "a second broker on this machine": (kafka(brokers=["kafka1.example:9093", "127.1:9093"]), "this machine itself"),
    "a broker on this machine in IPv6": (kafka(brokers=["[::1]:9093"]), "this machine itself"),
    "a broker beside metadata": (kafka(brokers=["0xa9fea9fe:9093"]), "machines' own services"),
    "a prefix that no topic has": (kafka(topic_prefix="audiences/"), "a prefix of topics has letters"),
    "a prefix that is too long": (kafka(topic_prefix="a" * 121), "a prefix of topics has letters"),
    "a password beside no user": (kafka(user=None), "user and password_secret belong together"),
    "a user without a password": (kafka(password_secret=None), "user and password_secret belong together"),
    "a cluster's password": (kafka(password="secret-word"), "password"),
    "a password for everybody to see": (kafka(mechanism="PLAIN", plain_connection=True), "mechanism PLAIN shows the password"),
    "a mechanism that nobody knows": (kafka(mechanism="GSSAPI"), "mechanism"),
    "a certificate without its key": (kafka(client_certificate="cdp.pem"), "client_certificate and client_key_secret belong together"),
    "a certificate without TLS": (
        kafka(client_certificate="cdp.pem", client_key_secret="key", plain_connection=True), "a client_certificate needs TLS"),
    "topics of unknown size": (kafka(create_topics={"partitions": 3}), "replication_factor"),
    "topics that nothing can be written to": (
        kafka(create_topics={"partitions": 3, "replication_factor": 1, "min_insync_replicas": 2}), "nothing could be written"),
    "a cluster and a URL": ({**kafka(), "http": {"url": URL}}, "'http' is no key of a destination of kind kafka"),
}  # fmt: skip


@pytest.mark.parametrize(("place", "words"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_endpoint_is_one_sentence_with_its_line_and_without_a_secret(make_workspace, place, words):
    with pytest.raises(SettingsInvalid) as wrong:
        read_destinations(workspace(make_workspace, place))
    assert words in str(wrong.value) and "destinations.yml:1: " in str(wrong.value)
    assert "secret-word" not in str(wrong.value)


KEYS_DIRECTORY = {"content": "source_keys", "sources": ["crm"]}
PLACES = {"http": http, "postgresql": postgresql, "kafka": kafka}


@pytest.mark.parametrize("kind", PLACES)
def test_an_endpoint_has_a_directory_on_the_conditions_of_a_folder(make_workspace, kind):
    place = {**PLACES[kind](), "ceiling": "C2", "directory": KEYS_DIRECTORY}
    hash_ = Directory.model_validate(KEYS_DIRECTORY).hash_for("engine")

    def refusal(**changes) -> str:
        with pytest.raises(SettingsInvalid) as wrong:
            read_destinations(workspace(make_workspace, {**place, **changes}))
        assert "destinations.yml:1: " in str(wrong.value)
        return str(wrong.value)

    def approved(by_hash):
        return {**KEYS_DIRECTORY, "approval": {"by": "privacy_office", "date": "2026-11-01", "hash": by_hash}}

    above = "the directory of 'engine' is of level C2, above the destination's ceiling C1"
    assert above in refusal(ceiling="C1", directory=approved(hash_)), "an approval does not lift the ceiling"
    assert (
        f"nobody approved the directory of 'engine': it needs approval: {{by: …, date: …, hash: {hash_}}}"
        in refusal()
    )
    assert "is for another directory of 'engine'" in refusal(directory=approved("0f5a3c1d9e77"))
    sound = read_destinations(workspace(make_workspace, {**place, "directory": approved(hash_)}))["engine"]
    assert sound.disclosure == sound.directory is not None and sound.endpoint is not None


def test_what_is_refused_by_default_may_be_meant(make_workspace):
    place = http("http://127.0.0.1:8080/", plain_http=True, networks=["127.0.0.0/8"])
    assert read_destinations(workspace(make_workspace, place))["engine"].endpoint.port == 8080
    assert read_destinations(workspace(make_workspace, {}))["engine"].endpoint is None
    assert (
        read_destinations(workspace(make_workspace, http("https://10.1.2.3/")))["engine"].endpoint.host
        == "10.1.2.3"
    )


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "224.0.0.1", "fe80::1%eth0"],
)
def test_a_name_that_resolves_to_a_refused_address_gets_no_connection(monkeypatch, address):
    addresses = [(0, 0, 0, "", ("93.184.216.34", 443)), (0, 0, 0, "", (address, 443))]
    monkeypatch.setattr(networks.socket, "getaddrinfo", lambda *_, **__: addresses)
    with pytest.raises(EndpointFailed, match="nothing is sent there"):
        networks.resolve_host("engine.example", 443, ())


def test_a_missing_secret_is_named_before_the_first_step(make_workspace, capsys, monkeypatch):
    folder = workspace(make_workspace, http(credential_secret="engine_token"))
    settings = load_settings(folder)
    with pytest.raises(SettingsInvalid, match="the secret 'engine_token' of destination 'engine' is missing"):
        require_endpoints(settings)
    assert run_command(["doctor", "--workspace", str(folder)]) == 2
    assert "CDP_SECRET_ENGINE_TOKEN" in capsys.readouterr().out
    monkeypatch.setenv("CDP_SECRET_ENGINE_TOKEN", "a-token-for-tests-only\nX-Evil: 1")
    with pytest.raises(SettingsInvalid, match="no header can carry") as wrong:
        require_endpoints(settings)
    assert "Evil" not in str(wrong.value)
    monkeypatch.setenv("CDP_SECRET_ENGINE_TOKEN", "a-token-for-tests-only")
    require_endpoints(settings)
    assert not (folder / "secrets").exists(), "a check makes no secret"
    with pytest.raises(SettingsInvalid, match="certificates of destination 'engine' are not there"):
        require_endpoints(load_settings(workspace(make_workspace, http(certificates="ca.pem"))))


def test_a_missing_password_is_named_before_the_first_step(make_workspace, monkeypatch, capsys):
    folder = workspace(make_workspace, postgresql())
    with pytest.raises(SettingsInvalid, match="the secret 'dw_password' of destination 'engine' is missing"):
        require_endpoints(load_settings(folder))
    assert run_command(["doctor", "--workspace", str(folder)]) == 2
    assert "CDP_SECRET_DW_PASSWORD" in capsys.readouterr().out
    monkeypatch.setenv("CDP_SECRET_DW_PASSWORD", "a password for tests only")
    require_endpoints(load_settings(folder))
    assert not (folder / "secrets").exists(), "a check makes no secret"


def test_what_a_cluster_is_entered_with_is_named_before_the_first_step(
    make_workspace, monkeypatch, capsys, tmp_path
):
    folder = workspace(make_workspace, kafka())
    with pytest.raises(
        SettingsInvalid, match="the secret 'stream_password' of destination 'engine' is missing"
    ):
        require_endpoints(load_settings(folder))
    assert run_command(["doctor", "--workspace", str(folder)]) == 2
    assert "CDP_SECRET_STREAM_PASSWORD" in capsys.readouterr().out
    monkeypatch.setenv("CDP_SECRET_STREAM_PASSWORD", "a password for tests only")
    require_endpoints(load_settings(folder))
    assert not (folder / "secrets").exists(), "a check makes no secret"
    monkeypatch.setenv("CDP_SECRET_STREAM_KEY", "no key of a certificate")
    (folder / "some.pem").write_text("no certificate")
    pair = {"client_certificate": "some.pem", "client_key_secret": "stream_key"}
    for more, words in (
        ({"certificates": "ca.pem"}, "the certificates of destination 'engine' are not there"),
        ({"certificates": "some.pem"}, "this is no file of certificates in the form of PEM"),
        (
            {**pair, "client_certificate": "cdp.pem"},
            "the client certificate of destination 'engine' is not there",
        ),
        (pair, "the certificate and the secret 'stream_key' are no pair"),
    ):
        with pytest.raises(SettingsInvalid, match=words) as wrong:
            require_endpoints(load_settings(workspace(make_workspace, kafka(**more))))
        assert "no key" not in str(wrong.value)


def test_cdp_deliver_refuses_what_it_cannot_send_to(make_workspace, capsys):
    folder = make_workspace(
        {"destinations.yml": json.dumps({"destinations": {"shelf": {"description": "a folder"}}})}
    )
    for name, words in (("shelve", "did you mean 'shelf'"), ("shelf", "is a folder")):
        assert run_command(["deliver", "--destination", name, "--workspace", str(folder)]) == 2
        assert words in capsys.readouterr().err
