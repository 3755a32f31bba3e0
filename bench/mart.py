"""A database of its own for each run, on a Postgres that makes commits durable."""

import os
import sys
import time
import urllib.parse

import psycopg

# A session ends a moment after its process.
TRIES = 50


def create(name):
    """Its URL."""
    with psycopg.connect(os.environ["LAKEWARD_TEST_POSTGRES"], autocommit=True) as connection:
        settings = dict(connection.execute("select name, setting from pg_settings where name in ('fsync', 'synchronous_commit')"))
        if set(settings.values()) != {"on"}:
            sys.exit(f"bench: Postgres must run with fsync and synchronous_commit on, it has {settings}")
        connection.execute(f'create database "{name}"')
    return urllib.parse.urlparse(os.environ["LAKEWARD_TEST_POSTGRES"])._replace(path=f"/{name}").geturl()


def drop(name):
    with psycopg.connect(os.environ["LAKEWARD_TEST_POSTGRES"], autocommit=True) as connection:
        for _ in range(TRIES):
            try:
                return connection.execute(f'drop database "{name}"')
            except psycopg.errors.ObjectInUse:
                time.sleep(0.2)
    sys.exit(f"bench: somebody is still connected to the database {name}")
