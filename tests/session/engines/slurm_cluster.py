"""A real Slurm of one node on loopback, with its accounting, for as long as a block lasts."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gate import until

PROGRAMS = (
    "munged",
    "mariadbd",
    "mariadb-install-db",
    "slurmdbd",
    "slurmctld",
    "slurmd",
    "sbatch",
    "sacctmgr",
)
START_S = 60.0
SLURM_CONF = """ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={folder}/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SchedulerParameters=sched_interval=2
MailProg=/bin/true
KillWait=2
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=debug Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""
SLURMDBD_CONF = """AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoInAddrAny
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={dbd}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
"""
USER_SQL = (
    "CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY '{password}';\n"
    "GRANT ALL ON *.* TO 'slurm'@'127.0.0.1';\n"
)


def why_not() -> str:
    """Why no Slurm can be started here; empty where one can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"a real Slurm needs {', '.join(missing)}"
    if os.geteuid() != 0:
        return "Slurm's daemons start as root only"
    return ""


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[Path]:
    """The path of slurm.conf, which sbatch and its like read from SLURM_CONF."""
    ports = dict(zip(("ctld", "node", "dbd", "sql"), _free_ports(4), strict=True))
    values = {
        "folder": folder,
        "password": secrets.token_hex(8),
        "cpus": os.cpu_count(),
        **ports,
    }
    config = folder / "slurm.conf"
    config.write_text(SLURM_CONF.format(**values))
    (folder / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(**values))
    (folder / "slurmdbd.conf").chmod(0o600)
    (folder / "user.sql").write_text(USER_SQL.format(**values))
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge.key").chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    with ExitStack() as started:
        _start(started, folder, ports)
        yield config


def _start(started: ExitStack, folder: Path, ports: dict[str, int]) -> None:
    def daemon(*command: str) -> None:
        log = started.enter_context((folder / f"{command[0]}.out").open("wb"))
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "SLURM_CONF": f"{folder}/slurm.conf"},
            start_new_session=True,
        )
        started.callback(_stop, process)

    daemon(
        "munged",
        "--foreground",
        "--force",
        f"--socket={folder}/munge.socket",
        f"--key-file={folder}/munge.key",
        f"--pid-file={folder}/munge.pid",
        f"--seed-file={folder}/munge.seed",
        f"--log-file={folder}/munge.log",
    )
    subprocess.run(
        (
            "mariadb-install-db",
            "--no-defaults",
            "--user=root",
            f"--datadir={folder}/db",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ),
        check=True,
        capture_output=True,
        timeout=120,
    )
    daemon(
        "mariadbd",
        "--no-defaults",
        "--user=root",
        f"--datadir={folder}/db",
        f"--socket={folder}/sql.socket",
        f"--pid-file={folder}/sql.pid",
        f"--port={ports['sql']}",
        "--bind-address=127.0.0.1",
        f"--init-file={folder}/user.sql",
    )
    assert until(lambda: _answers(ports["sql"]), START_S), "MariaDB has not started"
    daemon("slurmdbd", "-D")
    assert until(lambda: _answers(ports["dbd"]), START_S), (
        "slurmdbd has not started"
    )
    daemon("slurmctld", "-D", "-i")
    assert until(lambda: _answers(ports["ctld"]), START_S), (
        "slurmctld has not started"
    )
    daemon("slurmd", "-D", "-N", "localhost")
    assert until(lambda: _idle(folder), START_S), "the node is not up"


def _idle(folder: Path) -> bool:
    found = subprocess.run(
        ("sinfo", "--noheader", "--format=%T"),
        env={**os.environ, "SLURM_CONF": f"{folder}/slurm.conf"},
        capture_output=True,
        text=True,
    )
    return found.stdout.strip() == "idle"


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def _free_ports(n_ports: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(n_ports)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a daemon and what it has started."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
