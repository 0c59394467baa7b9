"""Made-up searches, mirrored to a server: what its page is tested on."""

import dataclasses
from math import nan

from raysearch.front.trials import Cost, TeacherPoint
from raysearch.tracking.mirror import Mirror
from tests.tracking.made_up_states import record, state

SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


TEACHER = TeacherPoint(cost=Cost(macs_g=500, params_m=50), metrics={"eval/wer": 9.0})


def fill(server, folder, name, records, teacher=None):
    """A search with a student of each front member, mirrored."""
    for made in records:
        student = folder / name.replace("/", "") / f"trials/{made.number:04d}/student"
        student.mkdir(parents=True)
        (student / "config.json").write_text("{}")
        (student / "model.safetensors").write_bytes(b"weights")
    made = state(records, name, folder=folder / name.replace("/", ""))
    document = made.document.model_copy(update={"teacher": teacher})
    Mirror(server.url).sync(dataclasses.replace(made, document=document))


def mixed():
    """Three trials of a front, and one each of what else becomes of a trial. The search has a teacher."""
    unknown = {"metrics": {}, "rung": None}
    return [
        *trials(3)[:3],
        record(3, "failed", cost=Cost(macs_g=nan, params_m=nan), cause="input", error="no student", **unknown),
        record(4, "failed", cause="oom", error="out of memory at update 70", **unknown),
        record(5, "stopped"),
        record(6, "infeasible", cause="infeasible", error="too dear", **unknown),
    ]


def trials(count, **changes):
    """A front of `count` trials over two methods, and one trial it dominates."""
    made = [
        record(
            n,
            config={"method": ("dicehubert", "distilhubert")[n % 2], "student.depth": n + 1, **changes},
            checkpoint=f"trials/{n:04d}/student",
        )
        for n in range(count)
    ]
    worse = record(count, wer=80.0, checkpoint=f"trials/{count:04d}/student")
    return [*made, worse]
