"""HDFS: one NameNode and one DataNode, each a process that can be killed and started again by itself."""

import getpass
import json
import subprocess
import urllib.error
import urllib.request
from xml.sax.saxutils import escape

from . import jars
from .process import Process

JARS = "hdfs-3.4.3"
HEAP_MB = 256
OPENS = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.nio", "java.util")]
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
ADMIN = "org.apache.hadoop.hdfs.tools.DFSAdmin"
LOG4J = """log4j.rootLogger=WARN,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{1}: %m%n
"""
NAMENODE_STATE = "Hadoop:service=NameNode,name=FSNamesystemState"
# One small DataNode on loopback.
SMALL = {
    "dfs.datanode.hostname": "127.0.0.1",
    "dfs.namenode.datanode.registration.ip-hostname-check": "false",
    "dfs.replication": 1,
    "dfs.client.block.write.replace-datanode-on-failure.policy": "NEVER",
    # Ready soon after a start, and a dead DataNode noticed after about 14 s.
    "dfs.namenode.safemode.extension": 0,
    # Every block reported, not 99.9 % rounded down: with a few blocks the default serves before they can be read.
    "dfs.namenode.safemode.threshold-pct": "1.0",
    "dfs.heartbeat.interval": 1,
    "dfs.namenode.heartbeat.recheck-interval": 2000,
    "dfs.namenode.handler.count": 4,
    "dfs.datanode.handler.count": 4,
    "dfs.namenode.fs-limits.min-block-size": 1024,
}
# Loopback answers at once: ask directly, whatever proxy the environment names.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Hdfs:
    roles = ("namenode", "datanode")

    def __init__(self, state):
        self.state = state
        self.folder = state.sub("hdfs")
        self.conf = self.folder / "conf"
        self.names = self.folder / "name"
        self.namenode = Process("namenode", self.folder)
        self.datanode = Process("datanode", self.folder)

    def prepare(self):
        """Writes the configuration and formats the NameNode; only once per state folder."""
        if (self.names / "current" / "VERSION").exists():
            return
        write_conf(self.conf, self._core_site(), self._hdfs_site())
        run("the NameNode could not be formatted", self._java(NAMENODE, "-format", "-nonInteractive", "-force"))

    def start(self, role):
        self.prepare()
        if role == "namenode":
            self.namenode.launch(self._java(NAMENODE))
            self.namenode.await_ready(self._namenode_ready)
        else:
            self.datanode.launch(self._java(DATANODE))
            self.datanode.await_ready(self._datanode_ready)

    def start_all(self):
        """Both roles at once: each is ready only when the other is."""
        self.prepare()
        self.namenode.launch(self._java(NAMENODE))
        self.datanode.launch(self._java(DATANODE))
        self.datanode.await_ready(self._datanode_ready)
        self.namenode.await_ready(self._namenode_ready)

    def safemode(self, action):
        """`enter` or `leave`: in safe mode the NameNode answers and refuses every change."""
        run(f"safe mode: {action}", self._java(ADMIN, "-safemode", action))

    def processes(self):
        return {"namenode": self.namenode, "datanode": self.datanode}

    def env(self):
        return {
            "LAKEWARD_TEST_HDFS": f"hdfs://127.0.0.1:{self.state.port('namenode')}",
            "LAKEWARD_TEST_WEBHDFS": f"http://127.0.0.1:{self.state.port('namenode-http')}",
            "LAKEWARD_TEST_HADOOP_CONF": str(self.conf),
        }

    def _namenode_ready(self):
        """Out of safe mode and with a live DataNode, or only answering while the DataNode is down."""
        port = self.state.port("namenode-http")
        return writable(port) if self.datanode.alive() else answers(port)

    def _datanode_ready(self):
        """Registered with the NameNode, or only answering while the NameNode is down."""
        return registered(self.state.port("datanode-http"), 1 if self.namenode.alive() else 0)

    def _core_site(self):
        return {
            "fs.defaultFS": f"hdfs://127.0.0.1:{self.state.port('namenode')}",
            "hadoop.tmp.dir": self.folder / "tmp",
            "hadoop.http.staticuser.user": getpass.getuser(),
            # Figures for Prometheus at /prom, as in docker-compose.yml.
            "hadoop.prometheus.endpoint.enabled": "true",
        }

    def _hdfs_site(self):
        address = lambda name: f"127.0.0.1:{self.state.port(name)}"
        return {
            "dfs.namenode.name.dir": f"file://{self.names}",
            "dfs.datanode.data.dir": f"file://{self.folder / 'blocks'}",
            "dfs.namenode.http-address": address("namenode-http"),
            "dfs.datanode.address": address("datanode"),
            "dfs.datanode.http.address": address("datanode-http"),
            "dfs.datanode.ipc.address": address("datanode-ipc"),
            **SMALL,
        }

    def _java(self, *arguments):
        return java(self.conf, *arguments)


def write_conf(conf, core, hdfs):
    """The configuration folder that servers and clients share."""
    # The jars hold no web pages, and the servers refuse to start without these folders on the class path.
    for page in ("hdfs", "datanode", "journal", "static"):
        (conf / "webapps" / page).mkdir(parents=True, exist_ok=True)
    (conf / "core-site.xml").write_text(_site(core))
    (conf / "hdfs-site.xml").write_text(_site(hdfs))
    (conf / "log4j.properties").write_text(LOG4J)


def java(conf, *arguments):
    memory = [f"-Xmx{HEAP_MB}m", "-Xms64m"]
    path = f"{conf}:{jars.fetch(JARS)}/*"
    return [jars.JAVA, *memory, *jars.JAVA_OPTIONS, *OPENS, "-cp", path, *map(str, arguments)]


def run(what, command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{what}:\n{done.stdout}{done.stderr}")


def answers(http, name=NAMENODE_STATE):
    return bool(bean(http, name))


def writable(namenode_http):
    """Out of safe mode and with a live DataNode."""
    state = bean(namenode_http, NAMENODE_STATE)
    return state.get("FSState") == "Operational" and state.get("NumLiveDataNodes", 0) >= 1


def registered(datanode_http, namenodes):
    """Whether the DataNode answers and has registered with as many NameNodes."""
    info = bean(datanode_http, "Hadoop:service=DataNode,name=DataNodeInfo")
    actors = json.loads(info.get("BPServiceActorInfo") or "[]")
    return bool(info) and sum(actor.get("ActorState") == "RUNNING" for actor in actors) >= namenodes


def bean(port, name):
    """The first bean of that name that the server's JMX page shows; empty while it does not answer."""
    try:
        with OPENER.open(f"http://127.0.0.1:{port}/jmx?qry={name}", timeout=2) as answer:
            return next(iter(json.load(answer)["beans"]), {})
    except (OSError, ValueError, KeyError, urllib.error.URLError):
        return {}


def _site(settings):
    rows = (f"  <property><name>{key}</name><value>{escape(str(value))}</value></property>" for key, value in settings.items())
    return "\n".join(["<configuration>", *rows, "</configuration>", ""])
