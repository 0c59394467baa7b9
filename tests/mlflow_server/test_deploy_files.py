"""The files of a deployment: they parse, refer to one another, and hold what a team's server must not lack."""

import configparser
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

DEPLOY = Path(__file__).parents[2] / "mlflow_server" / "deploy"
LANES = 16
"""More lanes than any search space of the repository asks for."""
KUBERNETES = ("1.30", kubernetes_validate.latest_version())
"""The oldest and the newest release whose API the manifests must fit."""


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def manifests():
    return [one for path in (DEPLOY / "kubernetes").glob("*.yaml") for one in yaml.safe_load_all(path.read_text())]


def pods(manifests):
    return [one["spec"]["template"]["spec"] for one in manifests if "template" in one["spec"]]


def test_compose_fits_its_specification():
    text = (DEPLOY / "compose.yaml").read_text()
    assert PyCompose.from_yaml(text).service_names() == ["postgres", "store", "bucket", "mlflow"]
    with pytest.raises(ValueError, match="helthcheck"):
        PyCompose.from_yaml(text.replace("healthcheck:", "helthcheck:", 1))


@pytest.mark.parametrize("release", KUBERNETES)
def test_manifests_fit_the_api(manifests, release):
    for manifest in manifests:
        kubernetes_validate.validate(manifest, release, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**manifests[0], "spce": {}}, release, strict=True)


def test_services_wait_for_healthy_ones_and_pin_their_images(compose):
    services = compose["services"]
    for service in services.values():
        for other, wait in service.get("depends_on", {}).items():
            assert wait["condition"] == "service_completed_successfully" or "healthcheck" in services[other]
        assert "build" in service or ":" in service["image"].rpartition("/")[2]
        assert not service.get("image", "").endswith(":latest")


def test_volumes_and_configs_are_declared(compose):
    for service in compose["services"].values():
        assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= set(compose["volumes"])
        assert {config["source"] for config in service.get("configs", [])} <= set(compose["configs"])


def test_compose_listens_on_localhost_and_holds_no_secret(compose):
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    for service in compose["services"].values():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or key.endswith(("SECRET_KEY", "ACCESS_KEY")):
                assert value.startswith("${")


def test_authentication_is_on_and_its_file_is_mlflows(compose):
    assert "MLFLOW_AUTH_CONFIG_PATH" in compose["services"]["mlflow"]["environment"]
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(compose["configs"]["auth"]["content"])
    assert {"default_permission", "database_uri", "authorization_function"} <= set(parsed["mlflow"])


def test_pools_stand_above_the_lanes_and_below_postgres(compose):
    environment = compose["services"]["mlflow"]["environment"]
    pool = int(environment["MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"])
    most = pool + int(environment["MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW"])
    limit = int(compose["services"]["postgres"]["command"][-1].partition("=")[2])
    assert pool > LANES
    assert 2 * 2 * most < limit


def test_manifests_select_their_pods_and_secrets_come_from_secrets(manifests):
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in manifests if "template" in one["spec"]]
    for one in manifests:
        assert {"apiVersion", "kind", "metadata", "spec"} <= set(one)
        if one["kind"] == "Service":
            assert one["spec"]["selector"] in labels
        elif "selector" in one["spec"]:
            assert one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"]
    for pod in pods(manifests):
        for container in pod["containers"]:
            assert not [entry for entry in container.get("env", []) if "PASSWORD" in entry["name"] and "value" in entry]


def test_each_pod_has_a_probe_and_mounts_what_it_declares(manifests):
    for one in manifests:
        if "template" not in one["spec"]:
            continue
        pod = one["spec"]["template"]["spec"]
        claims = [claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])]
        volumes = {volume["name"] for volume in pod.get("volumes", [])} | set(claims)
        for container in pod["containers"]:
            assert "readinessProbe" in container
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_image_starts_the_app_that_setuptools_installs():
    start = next(line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line.startswith("CMD"))
    assert '"--app-name", "raysearch"' in start
