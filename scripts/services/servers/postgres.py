"""A private Postgres cluster (15, or the newest later one installed), with role `mart` and database `martdb`, trusted on loopback."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from .process import Process

VERSIONS = ("15", "19", "18", "17", "16")
ROLE, DATABASE = "mart", "martdb"

SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
timezone = 'UTC'
max_connections = 100
max_wal_size = '2GB'
max_prepared_transactions = 10
log_line_prefix = '%m %p %a '
"""


class Postgres:
    roles = ("postgres",)

    def __init__(self, state):
        self.state = state
        self.folder = state.sub("postgres")
        self.data = self.folder / "data"
        self.process = Process("postgres", self.folder)

    def prepare(self):
        """Makes the cluster; only once per state folder."""
        if (self.folder / "prepared").exists():
            return
        if os.geteuid() == 0:
            shutil.chown(self.folder, _server_user(), None)
        shutil.rmtree(self.data, ignore_errors=True)
        done = subprocess.run(
            self._as_server([_tool("initdb"), "--pgdata", self.data, "--username", "postgres", "--auth", "trust",
                             "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]),
            capture_output=True, text=True, cwd="/")
        if done.returncode:
            raise SystemExit(f"initdb failed (the folder and those above it must be open to user "
                             f"{_server_user()}):\n{done.stdout}{done.stderr}")
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(SETTINGS.format(port=self._port()))
        # Nobody else is let in without TLS, as cloud providers do it, and there is none here.
        (self.data / "pg_hba.conf").write_text(f"host all postgres,{ROLE} 127.0.0.1/32 trust\n")
        self._launch()
        self._query(f"create role {ROLE} login createdb")
        self._query(f"create database {DATABASE} owner {ROLE}")
        (self.folder / "prepared").touch()

    def start(self, role):
        self.prepare()
        if self.process.alive():
            return
        # Left by a killed server; our process is known to be gone, whoever may have its number now.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self._launch()

    def processes(self):
        return {"postgres": self.process}

    def stop_signal(self):
        """Fast shutdown: open sessions are cut."""
        return signal.SIGINT

    def env(self):
        return {"LAKEWARD_TEST_POSTGRES": f"postgres://{ROLE}@127.0.0.1:{self._port()}/{DATABASE}"}

    def _launch(self):
        self.process.launch(self._as_server([_tool("postgres"), "-D", self.data]), cwd="/")
        self.process.await_ready(lambda: self._query("select 1", check=False))

    def _port(self):
        return self.state.port("postgres")

    def _query(self, sql, check=True):
        command = [_tool("psql"), "-h", "127.0.0.1", "-p", str(self._port()), "-U", "postgres", "-d", "postgres",
                   "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/")
        if check and done.returncode:
            raise SystemExit(f"Postgres refused `{sql}`:\n{done.stderr}")
        return done.returncode == 0

    def _as_server(self, command):
        """Postgres refuses to run as root: then as the user that its package made."""
        command = [str(part) for part in command]
        if os.geteuid() != 0:
            return command
        user = _server_user()
        return ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--reset-env", *command]


def _server_user():
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    return "postgres"


def _tool(name):
    folders = (Path(f"/usr/lib/postgresql/{version}/bin") for version in VERSIONS)
    folder = next((folder for folder in folders if (folder / "initdb").exists()), None)
    if not folder:
        raise SystemExit(f"no Postgres of version {' or '.join(VERSIONS)} found: run scripts/setup")
    return folder / name
