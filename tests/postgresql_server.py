"""A real PostgreSQL server for tests: made for one of them, started, stopped, asked."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path


def binaries() -> Path | None:
    """Give the folder of the newest PostgreSQL server on this machine."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return folders[-1].parent if folders else Path(named).parent if named else None


class PostgresqlServer:
    """A server process as a test sees it. Passwords are asked of users who come by TCP, not of the test itself."""

    def __init__(self, folder: Path) -> None:
        self.binaries = folder
        # Not below pytest's folders, which every other run closes again for all users but its own.
        self.data = Path(tempfile.mkdtemp(prefix="cdp-postgresql-"))
        self.prefix: list[str] = []
        self.is_up = False
        if os.geteuid() == 0:
            # The server refuses to run as root.
            owner = pwd.getpwnam("nobody")
            os.chown(self.data, owner.pw_uid, owner.pw_gid)
            self.prefix = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run(
            "initdb",
            "-D",
            str(self.data / "db"),
            "-A",
            "scram-sha-256",
            "--auth-local=trust",
            "-U",
            "postgres",
            "-N",
        )

    def start(self, *options: str) -> None:
        words = f"-p {self.port} -h 127.0.0.1 -k {self.data} {' '.join(options)}"
        log = str(self.data / "log")
        self._run("pg_ctl", "-D", str(self.data / "db"), "-o", words, "-l", log, "-w", "start")
        self.is_up = True

    def stop(self, mode: str = "fast") -> None:
        if self.is_up:
            self._run("pg_ctl", "-D", str(self.data / "db"), "-m", mode, "-w", "stop")
        self.is_up = False

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.data)

    def sql(self, text: str, *, user: str = "postgres") -> list[list[str]]:
        """Run statements and give the rows of the last one, as text."""
        answer = self._run(
            "psql", "-h", str(self.data), "-p", str(self.port), "-U", user, "-d", "postgres", "-v", "ON_ERROR_STOP=1",
            "-X", "-q", "-A", "-t", "-F", "\x1f", text=text,
        )  # fmt: skip
        return [line.split("\x1f") for line in answer.splitlines()]

    def put(self, name: str, content: bytes) -> Path:
        """Write a file that the server may read and nobody else."""
        file = self.data / name
        file.write_bytes(content)
        file.chmod(0o600)
        os.chown(file, self.data.stat().st_uid, self.data.stat().st_gid)
        return file

    def _run(self, program: str, *words: str, text: str | None = None) -> str:
        command = [*self.prefix, str(self.binaries / program), *words]
        # The server outlives pg_ctl and would hold a pipe open.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                command,
                input=text,
                text=True,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.data,
                check=False,
            )
            output.seek(0)
            answer = output.read()
        assert done.returncode == 0, f"{program}: {answer}"
        return answer
