"""How many bad inputs were tried on every reader, and what became of them.

    python benchmarks/faults.py                                                # 1000 for each reader
    python benchmarks/faults.py --tries 100 --reader "video a.mp4" --seed 7
    python benchmarks/faults.py --tries 0 --kills 200                          # interruptions alone

Files are valid ones with bytes or values changed at random (`tests/fuzz`). They are read in a process of its
own, whose memory and time are limited. A line tells of each input that was neither read nor refused in one
sentence; the exit code is 1 if there is any.

Then real runs are ended by signals at random moments and begun again, until they come to their end, and what
they end with is compared byte by byte with the results of a run in peace.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "fuzz"), str(TESTS / "cli")]

import squares  # noqa: E402
from fuzz_guard import Guard, Outcome  # noqa: E402
from fuzz_readers import READERS  # noqa: E402
from killing import RunServer  # noqa: E402
from test_resume import PARTS, contents, kill_at_random  # noqa: E402

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


def interruptions(kills: int, seed: int) -> tuple[Counter[str], int, int]:
    """Runs that were ended, by signal; runs that came to their end; how many of these had other results."""
    random, sent, ended, lost = Random(seed), Counter(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        clip = squares.write_clip(Path(folder, "clip.mp4"), squares.frames(26, size=(48, 96)))
        server = RunServer(Path(folder))
        command = ["run", clip, *PARTS, "-o"]
        server.run([*command, Path(folder, "first")])
        began = time.perf_counter()
        server.run([*command, Path(folder, "whole")])
        longest, whole = time.perf_counter() - began, contents(Path(folder, "whole"))
        while sum(sent.values()) < kills:
            out, code = Path(folder, f"out{ended}"), None
            while code != 0:
                signal, code = kill_at_random(server, [*command, out], random, longest)
                if code != 0:
                    sent[signal.name if signal else f"exit code {code}"] += 1
            ended += 1
            lost += contents(out) != whole
        server.close()
    return sent, ended, lost


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tries", type=int, default=1000, help="inputs for each reader")
    parser.add_argument("--kills", type=int, default=50, help="interruptions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", choices=READERS, help="only these; repeatable")
    arguments = parser.parse_args()
    everything: list[Outcome] = []
    lost = 0
    if arguments.tries:
        print(f"{'reader':26}{'tried':>8}{''.join(f'{v:>9}' for v in VERDICTS)}{'MiB':>9}{'CPU s':>9}")
        with Guard() as guard:
            for name in arguments.reader or READERS:
                outcomes = attempts(guard, name, arguments.tries, arguments.seed)
                print(row(name, outcomes), flush=True)
                everything += outcomes
        print(row("all", everything))
        print("MiB and CPU s: the most that one input took")
    if arguments.kills and not arguments.reader:
        sent, ended, lost = interruptions(arguments.kills, arguments.seed)
        kinds = ", ".join(f"{name} {count}" for name, count in sent.most_common())
        print(f"interruptions survived: {sum(sent.values())} ({kinds}) by {ended} runs; results lost: {lost}")
    sys.exit(lost > 0 or not all(outcome.is_fine for outcome in everything))


if __name__ == "__main__":
    main()
