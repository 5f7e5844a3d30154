"""Spark's standalone master and workers as processes of this machine, from the JARs that pyspark brings."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyspark

ROOT = Path(__file__).resolve().parents[1]
STARTS_IN = 240.0


@dataclass(frozen=True)
class Cluster:
    """A master and its workers; ``folder`` has their logs and the workers' own folders."""

    url: str
    folder: Path
    workers: tuple[subprocess.Popen, ...]

    def kill_worker(self, number: int) -> None:
        """End a worker and what runs in it at once, as a machine that loses its power."""
        worker = psutil.Process(self.workers[number].pid)
        for process in [worker, *worker.children(recursive=True)]:
            process.send_signal(signal.SIGKILL)

    def kill_executors(self) -> int:
        """End what runs in every worker, and leave the workers; give how many processes that were."""
        processes = [
            p for worker in self.workers for p in psutil.Process(worker.pid).children() if p.name() == "java"
        ]
        for process in processes:
            process.send_signal(signal.SIGKILL)
        return len(processes)

    def submit(self, module: str, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen:
        """Start a module of the product on the cluster, the engine being Spark; its stderr is a stream of text."""
        command = [sys.executable, "-m", module, *words]
        environment = {**os.environ, "CDP_SPARK_MASTER": self.url, "CDP_ENGINE": "spark", **(env or {})}
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )


@contextmanager
def standalone_cluster(
    folder: Path, *, workers: int = 2, memory: str = "1200m", env: dict[str, str] | None = None
) -> Iterator[Cluster]:
    """Give a cluster of workers with one core each; its processes end with the block."""
    home = Path(pyspark.__file__).parent
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        "PYSPARK_PYTHON": sys.executable,
        **(env or {}),
    }
    environment.pop("PYTHONPATH", None)
    port, daemons = free_port(), []

    def start(name: str, *words: str) -> subprocess.Popen:
        with (folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [home / "bin" / "spark-class", *words], env=environment, cwd=folder, stdout=log, stderr=log
            )
        daemons.append(process)
        return process

    try:
        start(
            "master", "org.apache.spark.deploy.master.Master",
            "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(free_port()),
        )  # fmt: skip
        url = f"spark://127.0.0.1:{port}"
        _wait_for(folder / "master.log", "Starting Spark master", 1)
        processes = [
            start(
                f"worker{n}", "org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--cores", "1",
                "--memory", memory, "--webui-port", str(free_port()), "--work-dir", str(folder / f"work{n}"), url,
            )
            for n in range(workers)
        ]  # fmt: skip
        _wait_for(folder / "master.log", "Registering worker", workers)
        yield Cluster(url, folder, tuple(processes))
    finally:
        for process in daemons:
            if process.poll() is None:
                children = psutil.Process(process.pid).children(recursive=True)
                process.terminate()
                process.wait(timeout=30)
                for child in children:
                    if child.is_running():
                        child.kill()


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _wait_for(log: Path, words: str, times: int) -> None:
    ends_at = time.monotonic() + STARTS_IN
    while log.read_text(errors="replace").count(words) < times:
        if time.monotonic() > ends_at:
            raise TimeoutError(
                f"'{words}' does not stand {times} times in {log}:\n{log.read_text(errors='replace')[-2000:]}"
            )
        time.sleep(0.2)
