"""A real Slurm cluster of one node on the loopback interface: its daemons, its config, and what it knows of jobs."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ETC = Path("/etc/slurm")
"""Where Slurm looks for its config. A variable that names another place does not reach the jobs."""

PARTITION = "unitscope"
"""The partition that has the GPU; it is not the default one."""

MARK = "# A cluster of unitscope's tests, to be deleted.\n"
"""The first line of the files in /etc/slurm that are ours."""

SLURM_CONF = """\
ClusterName=unitscope
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# What the node is said to have counts, not what it has.
SlurmdParameters=config_overrides
# Nothing of the kernel's that a container lacks.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
# Jobs that ended are known as long as a test runs; waiting ones are looked at each second.
MinJobAge=3600
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=17000 Gres=gpu:1 State=UNKNOWN
PartitionName=short Nodes={host} Default=YES MaxTime=1 State=UP
PartitionName={partition} Nodes={host} State=UP
"""


def missing() -> str:
    """Return why no cluster can be started here; an empty text where one can."""
    programs = [name for name in ("munged", "slurmctld", "slurmd", "sbatch", "srun") if not shutil.which(name)]
    if os.getuid() != 0:
        return "only root may start Slurm's daemons"
    if programs:
        return f"{', '.join(programs)} not found (Debian's packages slurm-wlm and munge)"
    others = [path for path in ETC.glob("*.conf") if path.name != "plugstack.conf" and not is_ours(path)]
    if others:
        return f"{others[0]} is a cluster's that is not ours"
    return ""


def is_ours(path: Path) -> bool:
    """Return whether an earlier test that was killed has left a config behind."""
    return path.read_text(errors="replace").startswith(MARK)


@contextmanager
def one_node() -> Iterator[None]:
    """Run a cluster of one node: two processors, and one GPU that is none."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="unitscope-slurm-")))
        # The socket of munge has to be in a folder that is open to all.
        folder.chmod(0o755)
        (folder / "state").mkdir()
        for name, text in {"slurm.conf": slurm_conf(folder), "gres.conf": "Name=gpu File=/dev/null\n"}.items():
            stack.callback((ETC / name).unlink, missing_ok=True)
            (ETC / name).write_text(MARK + text)
        key, munge_socket = folder / "munge.key", folder / "munge.socket"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        stack.enter_context(daemon(folder, "munged", "--foreground", f"--socket={munge_socket}", *files))
        wait_until(munge_socket.exists, "munged", folder)
        stack.enter_context(daemon(folder, "slurmctld", "-D"))
        stack.enter_context(daemon(folder, "slurmd", "-D"))
        wait_until(lambda: "idle" in slurm("sinfo", "--noheader", "--format=%T"), "the node", folder)
        # Before the daemons end, so that no job outlives them.
        stack.callback(cancel_all)
        yield


def slurm_conf(folder: Path) -> str:
    """Return the cluster's config, its state and logs in a folder."""
    host = socket.gethostname().partition(".")[0]
    return SLURM_CONF.format(folder=folder, host=host, ports=free_ports(2), partition=PARTITION)


@contextmanager
def daemon(folder: Path, *command: str) -> Iterator[None]:
    """Run a daemon; it ends with this process, however that ends."""
    with open(folder / f"{command[0]}.out", "w") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(number: int) -> list[int]:
    """Return ports of the loopback interface that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until(condition: Callable[[], bool], event: str, logs: Path | None = None, seconds: float = 60) -> None:
    """Wait for a condition; where it does not come, show the logs of a folder."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            log_texts = [f"{log.name}:\n{log.read_text()[-2000:]}" for log in logs.glob("*.out")] if logs else []
            raise TimeoutError("\n".join([f"waited {seconds} s for {event}", *log_texts]))
        time.sleep(0.1)


def slurm(*command: str) -> str:
    """Return what a command of Slurm's prints, its errors too."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


def cancel_all() -> None:
    """End all jobs and wait until they have ended."""
    slurm("scancel", "--state=PENDING")
    slurm("scancel", f"--user={os.getuid()}")
    wait_until(lambda: not slurm("squeue", "--noheader").strip(), "cancelled jobs to end")


def jobs() -> list[dict[str, str]]:
    """Return what Slurm knows of each job since the cluster was started, by the names of `scontrol show job`."""
    lines = slurm("scontrol", "--oneliner", "show", "job").splitlines()
    return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
