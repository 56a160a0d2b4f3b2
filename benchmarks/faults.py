"""How many bad inputs were tried on every reader, and what became of them.

    python benchmarks/faults.py                                                # 1000 for each reader
    python benchmarks/faults.py --tries 100 --reader "video a.mp4" --seed 7

Files are valid ones with bytes or values changed at random (`tests/fuzz`). They are read in a process of its
own, whose memory and time are limited. A line tells of each input that was neither read nor refused in one
sentence; the exit code is 1 if there is any.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "fuzz")]

from fuzz_guard import Guard, Outcome  # noqa: E402
from fuzz_readers import READERS  # noqa: E402

#: Columns of the table: what may become of an input.
VERDICTS = ("read", "refused", "crashed", "hung", "slow", "greedy", "escaped")


def attempts(guard: Guard, reader: str, tries: int, seed: int) -> list[Outcome]:
    """What became of `tries` inputs; each depends on the seed, the reader and its number alone."""
    outcomes = []
    for number in range(tries):
        outcome = guard.attempt(reader, READERS[reader].hostile(Random(f"{seed} {reader} {number}")))
        outcomes.append(outcome)
        if not outcome.is_fine:
            print(f"{reader}, number {number}: {outcome.verdict}: {outcome.text}", flush=True)
    return outcomes


def row(name: str, outcomes: list[Outcome]) -> str:
    counts = Counter(outcome.verdict for outcome in outcomes)
    figures = "".join(f"{counts[verdict]:9d}" for verdict in VERDICTS)
    most = max(outcome.megabytes for outcome in outcomes), max(outcome.seconds for outcome in outcomes)
    return f"{name:26}{len(outcomes):8d}{figures}{most[0]:9.0f}{most[1]:9.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tries", type=int, default=1000, help="inputs for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", choices=READERS, help="only these; repeatable")
    arguments = parser.parse_args()
    began, everything = time.perf_counter(), []
    rows = [f"{'reader':26}{'tried':>8}{''.join(f'{v:>9}' for v in VERDICTS)}{'MiB':>9}{'CPU s':>9}"]
    with Guard() as guard:
        for name in arguments.reader or READERS:
            outcomes = attempts(guard, name, arguments.tries, arguments.seed)
            rows.append(row(name, outcomes))
            everything += outcomes
    print("\n".join([*rows, row("all", everything)]))
    print(f"MiB and CPU s: the most that one input took; {time.perf_counter() - began:.0f} s in all")
    sys.exit(not all(outcome.is_fine for outcome in everything))


if __name__ == "__main__":
    main()
