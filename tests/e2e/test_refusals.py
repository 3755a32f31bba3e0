"""What cannot be exact, reached or understood is refused: with a code, its name, and nothing changed."""

import urllib.parse

import psycopg
import pytest
from confluent_kafka import KafkaException, TopicPartition

from bench import amazon_pipeline
from orders import orders, produce
from program import free_port, wait_until

USAGE, UNREACHABLE, REFUSED = 2, 3, 4


def refused(bench, code, *words, **settings):
    """Runs --once, which must end with `code` and say every one of `words`, and leave the log as it was."""
    before = bench.head()
    process = bench.start("--once", **settings)
    ended = process.code(60)
    assert ended == code, f"exit {ended}, not {code}:\n{process.tail()}"
    for word in words:
        assert word in process.log(), f"{word!r} is not in\n{process.tail()}"
    assert bench.head() == before, "a refused start added to the log"
    return process.log()


@pytest.fixture
def begun(new_bench, seed):
    """A pipeline with a log and 500 records behind it."""
    bench = new_bench()
    produce(bench.servers.kafka, bench.topic, orders(500, seed))
    bench.once()
    return bench


def test_records_deleted_before_they_were_read_are_a_gap(begun, seed):
    produce(begun.servers.kafka, begun.topic, orders(500, seed, first=500))
    ends = begun.ends()
    for future in begun.admin.delete_records([TopicPartition(begun.topic, p, end - 1) for p, end in ends.items()]).values():
        future.result(30)
    refused(begun, REFUSED, "GAP", begun.topic)


def test_records_deleted_after_they_were_read_are_none(begun, seed):
    for future in begun.admin.delete_records([TopicPartition(begun.topic, p, end) for p, end in begun.ends().items()]).values():
        future.result(30)
    produce(begun.servers.kafka, begun.topic, orders(500, seed, first=500))
    begun.once()
    begun.assert_ledger_closed()


def test_a_topic_made_anew_is_refused_unless_it_is_accepted(begun, seed):
    begun.delete_topic()
    recreate(begun)
    produce(begun.servers.kafka, begun.topic, orders(300, seed))
    refused(begun, REFUSED, "TOPIC_CHANGED", begun.topic)
    begun.once(LAKEWARD_KAFKA_ACCEPT_NEW_TOPIC_ID="true")
    begun.assert_ledger_closed()
    newest = begun.entries()[-1]["partitions"].values()
    assert {told["incarnation"] for told in newest} == {1} and sum(told["to"] for told in newest) == 300
    rows = query(begun, "select kafka_incarnation, count(*) from orders_live group by 1 order by 1")
    assert [incarnation for incarnation, _ in rows] == [0, 1]


def test_a_definition_that_decides_otherwise_is_refused(begun):
    text = begun.pipeline.read_text()
    begun.pipeline.write_text(text.replace('"Quantity > 0"', '"Quantity > 1"'))
    refused(begun, REFUSED, "DEFINITION_CHANGED", "positive_quantity")
    begun.pipeline.write_text("# only a comment more\n" + text)
    begun.once()
    begun.assert_equal()


def test_what_is_not_reachable_is_named(new_bench):
    bench = new_bench()
    patience = {"LAKEWARD_START_PATIENCE": "2s"}
    nobody = f"127.0.0.1:{free_port()}"
    bench.write_config(kafka=nobody)
    refused(bench, UNREACHABLE, "Kafka", nobody, "2s", **patience)
    bench.write_config(lake=f"hdfs://{nobody}/lake")
    refused(bench, UNREACHABLE, "lake", nobody, "2s", **patience)
    bench.write_config(mart=f"postgres://mart:hidden-word@{nobody}/martdb")
    assert "hidden-word" not in refused(bench, UNREACHABLE, "mart", nobody, "2s", **patience)


def test_a_missing_topic_is_named(new_bench):
    bench = new_bench(pipeline=lambda name, topic: amazon_pipeline(name, topic + "-absent"))
    refused(bench, UNREACHABLE, f"{bench.topic}-absent", LAKEWARD_START_PATIENCE="2s")


@pytest.mark.parametrize("line, words", [
    ('[lake]\nurll = "file:///tmp/x"\n', ["lakeward.toml:2", "urll", "url"]),
    ('[epoch]\nage = "30 parsecs"\n', ["lakeward.toml:2:7", "epoch.age", "parsecs", "ms, s, m, h or d"]),
    ('[http]\nlisten = "0.0.0.0:8501"\n', ["listen", "token"]),
    ("[http\n", ["lakeward.toml:1"]),
])
def test_a_wrong_configuration_says_where_and_what_would_be_right(new_bench, line, words):
    bench = new_bench(mart="none")
    bench.config.write_text(line)
    listen = {"LAKEWARD_HTTP_LISTEN": "0.0.0.0:8501"} if "listen" in line else {}
    refused(bench, USAGE, *words, **listen)


def test_a_wrong_pipeline_file_says_where_and_what_would_be_right(new_bench):
    wrong = lambda name, topic: amazon_pipeline(name, topic).replace('"sum(Quantity)"', '"sum(Quantty)"', 1)
    bench = new_bench(mart="none", pipeline=wrong)
    refused(bench, USAGE, "pipeline.toml", "Quantty", "Quantity")


def test_a_table_of_another_shape_is_refused(new_bench):
    bench = new_bench()
    query(bench, "create table orders_live (id int primary key)")
    refused(bench, REFUSED, "MART_SCHEMA", "orders_live")


def test_a_postgres_that_wants_tls_is_refused_with_a_way_out(new_bench):
    bench = new_bench()
    bench.write_config(mart=f"{bench.mart_url}?sslmode=require")
    refused(bench, REFUSED, "MART_CONFIG", "TLS", "sslmode", "tunnel")
    server = urllib.parse.urlparse(bench.mart_url)
    no_line = server._replace(netloc=f"tls_only:hidden-word@{server.hostname}:{server.port}").geturl()
    bench.write_config(mart=no_line)
    assert "hidden-word" not in refused(bench, REFUSED, "MART_AUTH", "no encryption", "TLS", "tunnel")


def test_a_layer_folder_with_foreign_files_is_refused(new_bench):
    bench = new_bench(mart="none")
    folder = bench.folder / "lake" / "silver" / "amazon_sales" / "year=2023" / "month=1"
    folder.mkdir(parents=True)
    (folder / "part-from-elsewhere.parquet").write_bytes(b"PAR1")
    refused(bench, REFUSED, "LAYER_NOT_EMPTY", "part-from-elsewhere.parquet")


def test_a_mart_that_follows_another_log_is_refused(begun, new_bench, seed):
    other = new_bench(pipeline=lambda _, topic: amazon_pipeline(begun.name, topic))
    other.write_config(mart=begun.mart_url)
    produce(other.servers.kafka, other.topic, orders(10, seed))
    refused(other, REFUSED, "OTHER_LOG")


def recreate(bench, partitions=3):
    """Kafka takes a moment to forget a topic."""
    def made():
        try:
            bench.create_topic(partitions)
        except KafkaException:
            return False
        return True

    wait_until(made, 30, "the topic could be made anew")


def query(bench, sql):
    with psycopg.connect(bench.mart_url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []
