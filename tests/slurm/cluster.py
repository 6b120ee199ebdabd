"""A throw-away Slurm on loopback: munge, a controller and one node with four pretended GPUs.

Needs Debian's slurmctld, slurmd, slurm-client and munge, but no systemd, no cgroups, no account and no configuration of
the machine. As a program it runs a command inside such a cluster: ``python tests/slurm/cluster.py bash``.
"""

import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

GPUS, CORES = 4, 16
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
START_S, STOP_S = 120, 60
SUPERVISE = "--supervise"
PR_SET_CHILD_SUBREAPER = 36

# A requeued job waits until its credential has expired: after 5 s, the least that Slurm takes, and not after 120 s.
SLURM_CONF = """
ClusterName=throwaway
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
MpiDefault=none
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=2
ReturnToService=2
GresTypes=gpu
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=512000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime=120
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""


def missing() -> list[str]:
    """Which programs are not installed."""
    return [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """A cluster, and the variables by which Slurm's programs find it; every process of it is gone at the end.

    They are all descendants of one supervisor, which kills them when its input ends: as it does, too, if we are killed.
    """
    # Not below pytest's folder: the path of a socket may have no more than 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    variables = {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": PATH}
    _configure(folder)
    supervisor = subprocess.Popen(
        [sys.executable, __file__, SUPERVISE, str(folder)],
        env=os.environ | variables,
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us alone
    )
    try:
        sinfo = ["sinfo", "--noheader", "--partition=low", "--format=%T"]
        _wait(folder, "Slurm", lambda: _output(sinfo, variables) == "idle")
        yield variables
    finally:
        supervisor.communicate()


def _supervise(folder: Path) -> None:
    """Start the daemons, wait for the end of our input, and end whatever there is below us."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # what daemonizes, as slurmstepd does, becomes our child
    try:
        names = {"key-file": "key", "socket": "munge.sock", "pid-file": "munged.pid", "seed-file": "seed"}
        _start(folder, "munged", "--foreground", *(f"--{option}={folder}/{name}" for option, name in names.items()))
        _wait(folder, "munge", (folder / names["socket"]).exists)
        _start(folder, "slurmctld", "-D", "-c")
        _start(folder, "slurmd", "-D")
        sys.stdin.read()
    finally:
        while children := _children():
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, *command: str) -> None:
    with (folder / f"{command[0]}.log").open("wb") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


def _children() -> list[int]:
    """Processes whose parent we are, dead ones included."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it may have ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(stat.parent.name))
    return found


def _configure(folder: Path) -> None:
    folder.chmod(0o755)  # munge wants everybody to be able to reach its socket
    for name in ("state", "spool", "devices"):
        (folder / name).mkdir()
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o600)
    for i in range(GPUS):  # A device has to be a character device; a link to one will do.
        (folder / "devices" / f"gpu{i}").symlink_to("/dev/null")
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/devices/gpu[0-{GPUS - 1}]\n")
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    controller_port, node_port = _free_ports(2)
    conf = SLURM_CONF.format(
        host=socket.gethostname().partition(".")[0],
        user=getpass.getuser(),
        folder=folder,
        cores=CORES,
        gpus=GPUS,
        controller_port=controller_port,
        node_port=node_port,
    )
    (folder / "slurm.conf").write_text(conf)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(folder: Path, what: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if time.monotonic() > deadline:
            logs = "\n".join(f"{log}:\n{log.read_text(errors='replace')[-2000:]}" for log in folder.glob("*.log"))
            raise RuntimeError(f"{what} did not come up within {START_S} s\n{logs}")
        time.sleep(0.05)


def cancel_everything(variables: dict[str, str]) -> None:
    with suppress(subprocess.TimeoutExpired):
        _output(["scancel", f"--user={getpass.getuser()}"], variables)
        deadline = time.monotonic() + STOP_S
        while _output(["squeue", "--noheader"], variables) and time.monotonic() < deadline:
            time.sleep(0.1)


def _output(command: list[str], variables: dict[str, str]) -> str:
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=STOP_S)
    return done.stdout.strip()


if __name__ == "__main__":
    if sys.argv[1:2] == [SUPERVISE]:
        sys.exit(_supervise(Path(sys.argv[2])))
    if absent := missing():
        sys.exit(f"{', '.join(absent)}: not installed; see 'make slurm'")
    with running() as found:
        sys.exit(subprocess.run(sys.argv[1:] or ["bash"], env=os.environ | found).returncode)
