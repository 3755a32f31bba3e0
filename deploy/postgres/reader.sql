-- A role that may read the mart's tables and nothing else, for Grafana, Power BI and people. Run it once, as an
-- administrator of the server, in the mart's database; run again it changes only the password:
--
--   psql -d martdb -v writer=mart -v password="$MART_READER_PASSWORD" -f deploy/postgres/reader.sql
--
-- `writer` is the role by which Lakeward writes: tables that it makes later, also one that was dropped and is made anew,
-- can be read as well.
\set ON_ERROR_STOP on

select 'create role mart_reader login'
where not exists (select from pg_roles where rolname = 'mart_reader') \gexec

alter role mart_reader with nosuperuser nocreatedb nocreaterole password :'password' connection limit 20;
-- A query of a dashboard must not hold up the writer or the machine.
alter role mart_reader set default_transaction_read_only = on;
alter role mart_reader set statement_timeout = '30s';
alter role mart_reader set idle_in_transaction_session_timeout = '60s';

grant usage on schema public to mart_reader;
grant select on all tables in schema public to mart_reader;
alter default privileges for role :"writer" in schema public grant select on tables to mart_reader;
