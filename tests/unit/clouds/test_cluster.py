"""Counts, troubles, reports and ways, from an API server over real HTTP."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra_gym.clouds.kubernetes import Cluster, DeploymentCount
from infra_gym.errors import ClusterError, ClusterRefusedError, ClusterUnreachableError

PODS = "/api/v1/namespaces/run/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/run/deployments"
EVENTS = "/api/v1/namespaces/run/events"


@pytest.fixture
def cluster(api_server: Any, tmp_path: Path) -> Iterator[Cluster]:
    api_server.answers |= {
        PODS: {"items": []},
        DEPLOYMENTS: {"items": []},
        EVENTS: {"items": []},
    }
    with Cluster.connect(api_server.kubeconfig(tmp_path / "config")) as connected:
        yield connected


def pod(name: str, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8123}]}]},
        "status": status,
    }


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "heater", "ready": False, "state": {}, "restartCount": 0, **fields}


def ready(name: str) -> dict[str, Any]:
    return pod(name, phase="Running", conditions=[{"type": "Ready", "status": "True"}])


def test_where_it_is(api_server: Any, cluster: Cluster) -> None:
    assert cluster.context == "lab"
    assert cluster.server == api_server.url
    assert cluster.version() == "v1.34.4"


def test_it_is_known_by_a_namespace_that_every_cluster_has(
    api_server: Any, cluster: Cluster
) -> None:
    api_server.answers["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "its-own"}}
    assert cluster.identity() == "its-own"


def test_who_may_not_look_there_knows_it_by_its_address(
    api_server: Any, cluster: Cluster, tmp_path: Path
) -> None:
    api_server.answers["/api/v1/namespaces/kube-system"] = (403, {"message": "forbidden"})
    with Cluster.connect(api_server.kubeconfig(tmp_path / "again")) as again:
        assert cluster.identity() == again.identity()
    assert cluster.identity().startswith("ca-")


def test_terraform_is_led_to_the_same_context(
    cluster: Cluster, tmp_path: Path, api_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cluster.environment()
    assert found["KUBE_CONFIG_PATH"] == str(tmp_path / "config")
    assert found["KUBE_CTX"] == "lab"
    assert found["KUBE_HOST"] == ""
    two = api_server.kubeconfig(tmp_path / "two")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'config'}:{two}")
    with Cluster.connect() as several:
        found = several.environment()
    assert found["KUBE_CONFIG_PATHS"] == f"{tmp_path / 'config'}:{two}"
    assert found["KUBE_CONFIG_PATH"] == ""


def test_replicas_are_counted(api_server: Any, cluster: Cluster) -> None:
    api_server.answers[f"{DEPLOYMENTS}/heater"] = {
        "spec": {"replicas": 3},
        "status": {"replicas": 3, "readyReplicas": 1, "updatedReplicas": 2},
    }
    assert cluster.replicas("run", "heater") == DeploymentCount(3, 3, 1, 2)
    api_server.answers[f"{DEPLOYMENTS}/heater"] = {"spec": {"replicas": 0}, "status": {}}
    assert cluster.replicas("run", "heater") == DeploymentCount(0, 0, 0, 0)
    assert cluster.replicas("run", "nothing") is None


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        pytest.param(
            {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes are available: 1 Insufficient cpu.",
                    }
                ],
            },
            "Unschedulable",
            "Insufficient cpu",
            id="no-room",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    container(
                        state={"waiting": {"reason": "ImagePullBackOff", "message": "no image"}}
                    )
                ]
            },
            "ImagePullBackOff",
            "no image",
            id="no-image",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    container(
                        state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                        lastState={"terminated": {"reason": "Error", "exitCode": 3}},
                        restartCount=4,
                    )
                ]
            },
            "CrashLoopBackOff",
            "exit code 3; restarts: 4",
            id="crash-loop",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    container(state={"terminated": {"reason": "Error", "exitCode": 1}})
                ]
            },
            "Error",
            "exit code 1",
            id="between-two-crashes",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    container(
                        state={"running": {}},
                        lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                        resources={"limits": {"memory": "64Mi"}},
                        restartCount=1,
                    )
                ]
            },
            "OOMKilled",
            "its memory limit is 64Mi; restarts: 1",
            id="out-of-memory",
        ),
        pytest.param(
            {"phase": "Failed", "reason": "Evicted", "message": "low on resource: memory"},
            "Evicted",
            "low on resource",
            id="evicted",
        ),
        pytest.param({"phase": "Running", "reason": "NodeLost"}, "NodeLost", "", id="node-lost"),
        pytest.param(
            {
                "conditions": [
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "DeletionByTaintManager",
                        "message": "the node is unreachable",
                    }
                ]
            },
            "DeletionByTaintManager",
            "unreachable",
            id="node-gone",
        ),
    ],
)
def test_what_is_wrong_with_a_pod_is_told(
    api_server: Any, cluster: Cluster, status: dict[str, Any], reason: str, words: str
) -> None:
    api_server.answers[PODS] = {"items": [ready("well"), pod("ill", **status)]}
    (trouble,) = cluster.troubles("run", "app=heater")
    assert (trouble.pod, trouble.reason) == ("ill", reason)
    assert words in trouble.message
    assert {"labelSelector": ["app=heater"]} in api_server.queries


def test_a_pod_that_boots_has_no_trouble(api_server: Any, cluster: Cluster) -> None:
    boots = container(state={"waiting": {"reason": "ContainerCreating"}})
    runs = container(state={"running": {}})
    api_server.answers[PODS] = {
        "items": [pod("boots", containerStatuses=[boots]), pod("runs", containerStatuses=[runs])]
    }
    assert cluster.troubles("run") == []


def test_a_crash_that_is_over_is_no_trouble(api_server: Any, cluster: Cluster) -> None:
    again = container(
        ready=True,
        state={"running": {}},
        lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}},
    )
    api_server.answers[PODS] = {"items": [pod("again", containerStatuses=[again])]}
    assert cluster.troubles("run") == []


def test_pods_that_a_quota_forbids_are_told(api_server: Any, cluster: Cluster) -> None:
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota",
    }
    api_server.answers[DEPLOYMENTS] = {
        "items": [{"metadata": {"name": "heater"}, "status": {"conditions": [condition]}}]
    }
    (trouble,) = cluster.troubles("run")
    assert str(trouble) == "deployment/heater: FailedCreate: exceeded quota"


def test_a_report_has_troubles_warnings_and_last_words(api_server: Any, cluster: Cluster) -> None:
    crashed = container(
        state={"waiting": {"reason": "CrashLoopBackOff"}},
        lastState={"terminated": {"reason": "Error", "exitCode": 1}},
        restartCount=2,
    )
    api_server.answers[PODS] = {"items": [ready("well"), pod("ill", containerStatuses=[crashed])]}
    api_server.answers[f"{PODS}/ill/log"] = "Traceback\nValueError: no such option"
    api_server.answers[EVENTS] = {
        "items": [
            {
                "metadata": {},
                "involvedObject": {"name": "ill"},
                "lastTimestamp": "2026-01-01T00:00:01Z",
                "reason": "BackOff",
                "message": "restarting",
            }
        ]
    }
    text = cluster.report("run")
    assert "ill: CrashLoopBackOff" in text
    assert "ValueError: no such option" in text
    assert "2026-01-01T00:00:01Z ill BackOff: restarting" in text
    assert "well" not in text
    assert {
        "container": ["heater"],
        "previous": ["true"],
        "tailLines": ["10"],
    } in api_server.queries


def test_a_report_is_bounded(api_server: Any, cluster: Cluster) -> None:
    ill = [pod(f"ill-{n}", phase="Failed", message="x" * 10_000) for n in range(500)]
    api_server.answers[PODS] = {"items": ill}
    assert len(cluster.report("run")) <= 4000


def test_a_report_says_what_it_may_not_read(api_server: Any, cluster: Cluster) -> None:
    api_server.answers[PODS] = (403, {"message": "pods is forbidden"})
    api_server.answers[EVENTS] = (403, {"message": "events is forbidden"})
    text = cluster.report("run")
    assert "pods is forbidden" in text
    assert "events is forbidden" in text


def test_a_namespace_is_gone_from_its_deletion_on(api_server: Any, cluster: Cluster) -> None:
    assert cluster.namespace_gone("run")
    api_server.answers["/api/v1/namespaces/run"] = {"status": {"phase": "Active"}}
    assert not cluster.namespace_gone("run")
    api_server.answers["/api/v1/namespaces/run"] = {"status": {"phase": "Terminating"}}
    assert cluster.namespace_gone("run")


def test_a_missing_right_is_named(api_server: Any, cluster: Cluster) -> None:
    api_server.answers[PODS] = (403, {"message": 'User "ann" cannot list resource "pods"'})
    with pytest.raises(ClusterRefusedError, match='cannot list resource "pods"') as caught:
        cluster.troubles("run")
    assert "doctor --target k8s" in str(caught.value.next_command)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_starts_may_come_back(api_server: Any, cluster: Cluster, status: int) -> None:
    api_server.answers[PODS] = (status, {"message": "starting"})
    with pytest.raises(ClusterUnreachableError, match=f"answered {status}: starting"):
        cluster.troubles("run")


def test_a_server_that_is_down_is_named(api_server: Any, tmp_path: Path, unused_port: int) -> None:
    config = api_server.kubeconfig(tmp_path / "config", server=f"https://127.0.0.1:{unused_port}")
    with pytest.raises(ClusterUnreachableError, match="cannot be reached: Connection refused"):
        Cluster.connect(config)


def test_what_is_no_api_server_is_told(api_server: Any, tmp_path: Path) -> None:
    api_server.answers["/version/"] = "<html>"
    with pytest.raises(ClusterUnreachableError, match="does not answer as a Kubernetes API server"):
        Cluster.connect(api_server.kubeconfig(tmp_path / "config"))


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://web.run.svc:9090", "/api/v1/namespaces/run/services/web:9090/proxy"),
        (
            "http://web.run.svc.cluster.local/a?b=c",
            "/api/v1/namespaces/run/services/web:80/proxy/a?b=c",
        ),
        ("https://web.run.svc/a", "/api/v1/namespaces/run/services/https:web:443/proxy/a"),
    ],
)
def test_a_service_has_a_url_through_the_server(cluster: Cluster, url: str, path: str) -> None:
    assert cluster.proxied(url) == cluster.server + path


@pytest.mark.parametrize("url", ["http://example.com/", "ftp://a.b.svc/", "http://a.svc/"])
def test_what_is_no_service_has_none(cluster: Cluster, url: str) -> None:
    with pytest.raises(ValueError, match="is not http://NAME"):
        cluster.proxied(url)


def test_the_service_proxy_is_the_first_way(api_server: Any, cluster: Cluster) -> None:
    api_server.answers["/api/v1/namespaces/run/services/web:80/proxy/-/ready"] = "Ready"
    route = cluster.route("http://web.run.svc", "/-/ready")
    with route.session:
        assert route.kind == "service proxy"
        assert route.url == f"{api_server.url}/api/v1/namespaces/run/services/web:80/proxy"


def forwardable(api_server: Any) -> None:
    api_server.answers["/api/v1/namespaces/run/services/web"] = {
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "web"}]}
    }
    api_server.answers[PODS] = {"items": [ready("web-1")]}
    api_server.answers["/api/v1/namespaces/run/services/web:80/proxy/"] = (
        403,
        {"message": "services/proxy is forbidden"},
    )


def test_a_port_forward_is_the_second_way(api_server: Any, cluster: Cluster) -> None:
    forwardable(api_server)
    api_server.forwarded = b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b"x" * 300
    route = cluster.route("http://web.run.svc", "/")
    with route.session as session:
        assert route.kind == "port-forward"
        assert session.get(f"{route.url}/", timeout=5).text == "x" * 300
    paths = [path for _, path, _ in api_server.requests]
    assert "/api/v1/namespaces/run/pods/web-1/portforward" in paths
    assert {"ports": ["8123"]} in api_server.queries


def test_without_a_way_both_reasons_are_told(api_server: Any, cluster: Cluster) -> None:
    forwardable(api_server)
    api_server.answers[PODS] = {"items": []}
    with pytest.raises(ClusterError) as caught:
        cluster.route("http://web.run.svc", "/")
    assert "403 services/proxy is forbidden" in caught.value.message
    assert "No pod of service run/web is ready" in caught.value.message


def signed(name: str, issuer: tuple[Any, Any] | None = None) -> tuple[x509.Certificate, Any]:
    """A certificate for 127.0.0.1 and its key; its own authority when there is no issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority, authority_key = issuer or (None, key)
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    return made, key


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: Any) -> bytes:
    return bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture
def tls_server(api_server: Any, tmp_path: Path) -> Iterator[Any]:
    """A server that wants a client certificate of its own authority, and the user who has one."""
    authority = signed("authority")
    server, client = signed("server", authority), signed("client", authority)
    for name, (certificate, key) in {"server": server, "client": client}.items():
        (tmp_path / f"{name}.pem").write_bytes(pem(certificate))
        (tmp_path / f"{name}.key").write_bytes(key_pem(key))
    (tmp_path / "ca.pem").write_bytes(pem(authority[0]))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    made = type(api_server)(context)
    yield made
    made.close()


def test_certificates_are_shown_and_checked_on_every_way(
    tls_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A CA for other things must not take the place of the cluster's.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    user = {"client-certificate": "client.pem", "client-key": "client.key"}
    config = tls_server.kubeconfig(tmp_path / "config", user, **{"certificate-authority": "ca.pem"})
    forwardable(tls_server)
    with Cluster.connect(config) as cluster:
        route = cluster.route("http://web.run.svc", "/")
        with route.session as session:
            assert route.kind == "port-forward"
            assert session.get(f"{route.url}/", timeout=5).text == "ok"
        tls_server.answers["/api/v1/namespaces/run/services/web:80/proxy/"] = "ok"
        proxied = cluster.route("http://web.run.svc", "/")
        proxied.session.close()
        assert proxied.kind == "service proxy"


def test_a_certificate_of_another_authority_is_refused(tls_server: Any, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(pem(signed("another")[0]))
    config = tls_server.kubeconfig(tmp_path / "config", **{"certificate-authority": "ca.pem"})
    with pytest.raises(ClusterError, match="a certificate that the kubeconfig does not trust"):
        Cluster.connect(config)
