"""Made-up searches, mirrored to a server: what its page is tested on."""

from raysearch.tracking.mirror import Mirror
from tests.tracking.made_up_states import record, state

SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def fill(server, folder, name, records):
    """A search with a student of each front member, mirrored."""
    for made in records:
        student = folder / name.replace("/", "") / f"trials/{made.number:04d}/student"
        student.mkdir(parents=True)
        (student / "config.json").write_text("{}")
        (student / "model.safetensors").write_bytes(b"weights")
    Mirror(server.url).sync(state(records, name, folder=folder / name.replace("/", "")))


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
