"""What `prepare_process` does to a process of its own."""

import json
import os
import platform
import subprocess
import sys

import pytest

# Blocks that are smaller than what glibc maps on its own, more of them than it keeps when all are freed.
PROGRAM = """
import json, os, resource, sys
import numpy as np
from msnvis.cpu import prepare_process

def work():
    return [np.ones(8 * 2**20, np.uint8) for _ in range(12)]

if sys.argv[1] == "prepared":
    prepare_process()
for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    work()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(json.dumps({"faults": faults, "torch": "torch" in sys.modules,
                  "policy": os.environ.get("OMP_WAIT_POLICY")}))
"""


def run(how: str, **environment: str) -> dict:
    kept = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "OMP_WAIT_POLICY")}
    kept = {k: v for k, v in kept.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env=kept | environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(answer.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told to keep memory")
def test_freed_memory_is_used_again():
    alone, prepared = run("alone"), run("prepared")
    assert prepared["faults"] < alone["faults"] / 10


def test_it_does_not_load_torch_which_reads_the_policy():
    found = run("prepared")
    assert found["policy"] == "PASSIVE"
    assert not found["torch"]


def test_the_policy_of_the_user_stays():
    assert run("prepared", OMP_WAIT_POLICY="ACTIVE")["policy"] == "ACTIVE"
