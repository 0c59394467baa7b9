"""Every file under clusters/ passes its validator, and holds what a search on a cluster must not lack."""

import itertools
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from raysearch.spec.loading import load_spec
from tests.clusters.kuberay import KINDS

CHECKOUT = Path(__file__).parents[2]
CLUSTERS = CHECKOUT / "clusters"
SCRIPTS = sorted(CLUSTERS.glob("*.sh"))
RAY_UP = [CLUSTERS / "aws.yaml", CLUSTERS / "gcp.yaml"]
KUBERAY = sorted(CLUSTERS.glob("ray-*.yaml"))


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def cluster_spec(path: Path) -> dict[str, Any]:
    spec = read(path)["spec"]
    return spec.get("rayClusterSpec", spec)


def pods(path: Path) -> list[dict[str, Any]]:
    spec = cluster_spec(path)
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def test_every_file_has_a_validator() -> None:
    files = {path for path in CLUSTERS.iterdir() if path.is_file()}
    assert files == {*SCRIPTS, *RAY_UP, *KUBERAY, CLUSTERS / "Dockerfile", CLUSTERS / "README.md"}


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_kuberay_schema(path: Path) -> None:
    document = read(path)
    jsonschema.validate(document, KINDS[document["kind"]])


def test_kuberay_schema_finds_a_misspelt_field_and_a_wrong_type() -> None:
    document = read(CLUSTERS / "ray-cluster.gpu.yaml")
    for change in ({"enableAutoscaling": True}, {"rayVersion": 2.6}):
        spoilt = document | {"spec": document["spec"] | change}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(spoilt, KINDS["RayCluster"])


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_kuberay_head_does_no_work_and_workers_have_gpus(path: Path) -> None:
    spec = cluster_spec(path)
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["rayVersion"] == version("ray")
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        (container,) = group["template"]["spec"]["containers"]
        limits = container["resources"]["limits"]
        assert limits["nvidia.com/gpu"] == container["resources"]["requests"]["nvidia.com/gpu"]


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_kuberay_volumes_are_declared_and_secrets_are_references(path: Path) -> None:
    for pod in pods(path):
        declared = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= declared
            assert container["envFrom"] == [{"secretRef": {"name": "raysearch-storage"}}]
            for variable in container.get("env", []):
                assert not re.search("KEY|SECRET|PASSWORD|TOKEN", variable["name"])


def test_job_resumes_by_name_and_its_document_loads() -> None:
    spec = read(CLUSTERS / "ray-job.search.yaml")["spec"]
    assert spec["backoffLimit"] > 0
    shell, option, command = shlex.split(spec["entrypoint"])
    assert (shell, option) == ("sh", "-c")
    resume, search = (shlex.split(part) for part in command.split("||"))
    assert resume == ["raysearch", "resume", "$SEARCH"]
    assert search[:5] == ["raysearch", "search", "$SPEC", "--name", "$SEARCH"]
    settings = [after for word, after in itertools.pairwise(search) if word == "--set"]
    variables = yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]
    loaded = load_spec(CHECKOUT / Path(variables["SPEC"]).relative_to("/app"), settings, name=variables["SEARCH"])
    groups = spec["rayClusterSpec"]["workerGroupSpecs"]
    # The cluster begins empty: `auto` would find no GPU.
    assert loaded.workers.use_gpu is True
    assert loaded.workers.lanes * loaded.workers.num_workers <= sum(group["maxReplicas"] for group in groups)


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.name)
def test_ray_up_schema(path: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(read(path))
    validate_config(config)
    assert config["available_node_types"][config["head_node_type"]]["resources"] == {"CPU": 0}
    (start,) = (command for command in config["head_start_ray_commands"] if "--head" in command)
    assert "--num-cpus=0" in start
    assert "--autoscaling-config=" in start
    with pytest.raises(jsonschema.ValidationError):
        validate_config(config | {"max_worker": 3})


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_script_passes_bash_and_shellcheck(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)
    found = subprocess.run(
        [Path(sys.executable).parent / "shellcheck", path], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout
    assert path.stat().st_mode & 0o111


def test_dockerfile_copies_what_is_there_and_pins_by_constraints() -> None:
    text = (CLUSTERS / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        assert all((CHECKOUT / source).exists() for source in sources), line
    installs = re.findall(r"^RUN pip install (.+)$", text, re.MULTILINE)
    assert installs
    assert all("-c constraints.txt" in line for line in installs)
    assert re.search(r"^USER 1000$", text, re.MULTILINE)


def test_dockerfile_passes_hadolint() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    found = subprocess.run([hadolint, CLUSTERS / "Dockerfile"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_readme_names_every_file() -> None:
    text = (CLUSTERS / "README.md").read_text()
    for path in CLUSTERS.iterdir():
        assert path.name in text or path.name == "README.md"
