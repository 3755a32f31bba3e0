"""A database of its own for each run, on a Postgres that makes commits durable."""

import os
import sys
import urllib.parse

import psycopg


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
        connection.execute(f'drop database "{name}" with (force)')
