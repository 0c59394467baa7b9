"""The Slurm script with stand-ins for srun, scontrol and what they would start: who is told what, in which order."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "clusters/slurm.sh"
# `srun OPTIONS COMMAND`: says where it would run, then runs it here.
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do [[ $1 == --nodelist=* ]] && node=${1#--nodelist=}; shift; done
echo "$node $*" >> "$LOG"
exec "$@"
"""
RAY = """#!/usr/bin/env bash
[[ $RAY_AUTH_MODE == token && ${#RAY_AUTH_TOKEN} -ge 32 ]] || echo "no token" >> "$LOG"
[[ $1 != start ]] || sleep 0.2
"""
RAYSEARCH = """#!/usr/bin/env bash
echo "RAY_ADDRESS=$RAY_ADDRESS" >> "$LOG"
[[ $1 != resume ]] || exit "$RESUME"
"""
SCONTROL = "#!/usr/bin/env bash\nprintf '%s\\n' node7 node8 node9\n"


@pytest.fixture
def submit(tmp_path: Path):
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name, text in {"srun": SRUN, "ray": RAY, "raysearch": RAYSEARCH, "scontrol": SCONTROL}.items():
        (bin_ / name).write_text(text)
        (bin_ / name).chmod(0o755)

    def run(*words: str, resume: int = 2, **environment: str) -> tuple[int, list[str], str]:
        variables = {
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "LOG": str(tmp_path / "log"),
            "RESUME": str(resume),
            "RAYSEARCH_STORAGE": "/shared",
            "SLURM_JOB_ID": "31",
            "SLURM_JOB_NODELIST": "node[7-9]",
            "SLURM_CPUS_PER_TASK": "8",
            "SLURM_GPUS_ON_NODE": "1",
        }
        found = subprocess.run(
            ["bash", SCRIPT, *words], env=variables | environment, capture_output=True, text=True, timeout=60
        )
        log = tmp_path / "log"
        return found.returncode, log.read_text().splitlines() if log.exists() else [], found.stderr

    return run


def test_head_first_then_workers_then_the_search(submit) -> None:
    code, lines, err = submit("spec.yaml", "mine", "--set", "search.seed=1")
    assert code == 0, err
    assert "no token" not in lines
    starts = [line for line in lines if " ray start " in line]
    shape = "--num-cpus=8 --num-gpus=1 --disable-usage-stats --block"
    assert starts[0] == f"node7 ray start --head --node-ip-address=node7 --port=20031 {shape}"
    assert sorted(starts[1:]) == [f"{node} ray start --address=node7:20031 {shape}" for node in ("node8", "node9")]
    assert "node7 ray health-check --address node7:20031" in lines
    assert [line for line in lines if "raysearch" in line] == [
        "node7 raysearch resume mine",
        "node7 raysearch search spec.yaml --name mine --set search.seed=1",
    ]
    assert "RAY_ADDRESS=node7:20031" in lines


def test_requeued_job_resumes_and_does_not_begin_again(submit) -> None:
    code, lines, _ = submit("spec.yaml", "mine", resume=0)
    assert code == 0
    assert [line for line in lines if "raysearch" in line] == ["node7 raysearch resume mine"]


@pytest.mark.parametrize(("words", "missing"), [((), "a search document"), (("spec.yaml",), "name of the search")])
def test_missing_words_are_named(submit, words: tuple[str, ...], missing: str) -> None:
    code, lines, err = submit(*words)
    assert code != 0
    assert lines == []
    assert missing in err


def test_storage_must_be_named(submit) -> None:
    code, lines, err = submit("spec.yaml", "mine", RAYSEARCH_STORAGE="")
    assert code != 0
    assert lines == []
    assert "RAYSEARCH_STORAGE" in err
