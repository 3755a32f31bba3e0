#!/bin/sh
# Run once by the postgres image on an empty volume: makes the role that may only read.
set -eu
psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v writer="$POSTGRES_USER" -v password="$MART_READER_PASSWORD" \
    -f /usr/local/share/lakeward/reader.sql
