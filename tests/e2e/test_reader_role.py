"""deploy/postgres/reader.sql: a role that may read the mart's tables, also those made later, and change nothing."""

import shutil
import subprocess
import urllib.parse
from pathlib import Path

import psycopg
import pytest

from program import ROOT

PASSWORD = "it's \"secret\""


@pytest.fixture
def bench(new_bench):
    bench = new_bench()
    yield bench
    with administrator(bench) as connection:
        connection.execute("drop owned by mart_reader")
        connection.execute("alter default privileges for role mart in schema public revoke all on tables from mart_reader")
        connection.execute("drop role mart_reader")


def url_of(bench, user):
    url = urllib.parse.urlparse(bench.mart_url)
    return url._replace(netloc=f"{user}@{url.hostname}:{url.port}").geturl()


def administrator(bench):
    return psycopg.connect(url_of(bench, "postgres"), autocommit=True)


def make_role(bench):
    psql = shutil.which("psql") or str(max(Path("/usr/lib/postgresql").glob("*/bin/psql")))
    command = [psql, url_of(bench, "postgres"), "-X", "-q", "-v", "writer=mart", "-v", f"password={PASSWORD}", "-f",
               ROOT / "deploy" / "postgres" / "reader.sql"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_reader_reads_every_table_and_changes_nothing(bench):
    with psycopg.connect(bench.mart_url, autocommit=True) as writer, administrator(bench) as reader:
        writer.execute("create table before (n int)")
        make_role(bench)
        make_role(bench)  # again: nothing but the password may change
        writer.execute("create table later (n int)")
        assert reader.execute("select rolpassword like 'SCRAM%' from pg_authid where rolname = 'mart_reader'").fetchone()[0]
        settings = reader.execute("select setconfig from pg_db_role_setting s join pg_roles r on r.oid = s.setrole "
                                  "where rolname = 'mart_reader'").fetchone()[0]
        assert {"default_transaction_read_only=on", "statement_timeout=30s"} <= set(settings)
        reader.execute("set session authorization mart_reader")
        for table in ("before", "later"):
            assert reader.execute(f"select count(*) from {table}").fetchone() == (0,)
            for change in (f"insert into {table} values (1)", f"delete from {table}", f"drop table {table}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute(change)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("create table mine (n int)")
        reader.execute("reset session authorization")
