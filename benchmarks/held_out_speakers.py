"""Writes lists of pairs for speaker verification, for searches that train on no speaker of AN4.

    python benchmarks/held_out_speakers.py ../shared/data/asr/an4 --out searches/an4-held-out

AN4's own lists have 8 dev and 10 test speakers, so that intervals over speakers are wide. Here 30 of all 72, drawn at
random, are in `dev.txt`, and the others in `test.txt`. Of each speaker there are as many pairs of one voice as of
two. `search_spaces/whisper-speakers-arms.yaml` reads them.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np

DEV, SEED = 30, 0
SAME = 40
"""Pairs of one voice for each speaker, and as many of two."""


def speakers(corpus: Path) -> dict[str, list[str]]:
    """Paths of each speaker's recordings, relative to the corpus."""
    found: dict[str, list[str]] = {}
    for path in sorted(corpus.glob("*/*/*/*.flac")):
        found.setdefault(path.parts[-3], []).append(path.relative_to(corpus).as_posix())
    return found


def pairs(recordings: dict[str, list[str]], rng: np.random.Generator) -> list[str]:
    """Lines `1 path path` of one voice and `0 path path` of two."""
    lines = []
    for speaker, own in recordings.items():
        same = [*combinations(own, 2)]
        kept = rng.permutation(len(same))[:SAME]
        lines += [f"1 {same[at][0]} {same[at][1]}" for at in kept]
        others = [other for other in recordings if other != speaker]
        for _ in kept:
            stranger = recordings[others[rng.integers(len(others))]]
            lines.append(f"0 {own[rng.integers(len(own))]} {stranger[rng.integers(len(stranger))]}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpus", type=Path, help="folder of AN4")
    parser.add_argument("--out", type=Path, required=True, help="folder for dev.txt and test.txt")
    args = parser.parse_args()
    found, rng = speakers(args.corpus), np.random.default_rng(SEED)
    order = [[*found][at] for at in rng.permutation(len(found))]
    args.out.mkdir(parents=True, exist_ok=True)
    for name, chosen in (("dev", order[:DEV]), ("test", order[DEV:])):
        lines = pairs({speaker: found[speaker] for speaker in chosen}, rng)
        (args.out / f"{name}.txt").write_text("\n".join(lines) + "\n")
        print(f"{args.out / name}.txt: {len(chosen)} speakers, {len(lines)} pairs")


if __name__ == "__main__":
    main()
