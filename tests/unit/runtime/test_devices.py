"""What devices can do, and leases of several in one machine, by processes that hold one each; those are pretended."""

import select
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from unitscope.runtime import devices

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from unitscope.runtime.devices import lease
print(lease(["GPU-a", "GPU-b/1", "GPU-c"], Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Return a function that starts a process which takes a device and keeps it until its input ends."""
    running = []

    def start() -> subprocess.Popen:
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "leases")]
        running.append(
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        with process:
            pass


def test_bfloat16_without_hardware_support_raises_a_warning(caplog):
    cpu = torch.device("cpu")
    assert devices.warn_of_slow_bfloat16(cpu, "float32") == devices.warn_of_slow_bfloat16(cpu, "auto") == 0
    assert not caplog.records
    slowdown = devices.warn_of_slow_bfloat16(cpu, "bfloat16")
    assert slowdown > 0
    assert [f"{slowdown:.0f} times as long" in record.message for record in caplog.records] == [True] * (slowdown > 1.5)


@pytest.mark.parametrize("native", [True, False])
def test_auto_precision_is_bfloat16_on_supporting_gpus(monkeypatch, native):
    # What torch says of a card: with emulation all of them have it.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype: (kind, dtype))
    card = torch.device("cuda")
    assert (devices.autocast(card, "auto") == ("cuda", torch.bfloat16)) == native
    assert devices.autocast(card, "bfloat16") == ("cuda", torch.bfloat16)
    assert not isinstance(devices.autocast(torch.device("cpu"), "auto"), tuple)


@pytest.mark.slow
def test_each_job_leases_a_separate_device_until_it_ends(holder):
    jobs = [holder() for _ in range(3)]
    devices = [int(job.stdout.readline()) for job in jobs]
    assert sorted(devices) == [0, 1, 2]
    # Who comes fourth waits, until one is killed without a chance to clear up.
    fourth = holder()
    assert select.select([fourth.stdout], [], [], 5)[0] == []
    jobs[1].kill()
    assert int(fourth.stdout.readline()) == devices[1]
    jobs[0].stdin.close()
    assert int(holder().stdout.readline()) == devices[0]
