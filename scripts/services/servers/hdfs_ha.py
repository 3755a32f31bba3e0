"""HDFS with two NameNodes behind one logical name, the edits in one journal, failed over by hand: no ZooKeeper."""

import getpass

from .hdfs import DATANODE, NAMENODE, SMALL, answers, java, registered, run, writable, write_conf
from .process import Process

SERVICE = "lakes"
JOURNALNODE = "org.apache.hadoop.hdfs.qjournal.server.JournalNode"
ADMIN = "org.apache.hadoop.hdfs.tools.DFSHAAdmin"
NAMENODES = {"ha-namenode1": "nn1", "ha-namenode2": "nn2"}


class HdfsHa:
    roles = ("ha-journal", *NAMENODES, "ha-datanode")

    def __init__(self, state):
        self.state = state
        self.folder = state.sub("hdfs-ha")
        self.conf = self.folder / "conf"
        self.parts = {role: Process(role, self.folder) for role in self.roles}

    def start_all(self):
        """The first NameNode becomes the active one."""
        if not (self.conf / "hdfs-site.xml").exists():
            write_conf(self.conf, self._core_site(), self._hdfs_site())
        self.start("ha-journal")
        if not (self.folder / "nn1" / "current").exists():
            run("the NameNode could not be formatted", self._namenode("ha-namenode1", "-format", "-nonInteractive", "-force"))
        self._launch("ha-namenode1")
        self._launch("ha-datanode")
        self._await("ha-namenode1")
        if not (self.folder / "nn2" / "current").exists():
            run("the stand-by NameNode could not be made",
                self._namenode("ha-namenode2", "-bootstrapStandby", "-nonInteractive", "-force"))
        self.start("ha-namenode2")
        self.activate("ha-namenode1")

    def start(self, role):
        self._launch(role)
        self._await(role)

    def activate(self, role):
        """Makes that NameNode the active one, whether or not the other lives."""
        name = NAMENODES[role]
        [other] = set(NAMENODES.values()) - {name}
        run("failover", java(self.conf, ADMIN, "-failover", other, name))
        self.parts[role].await_ready(lambda: writable(self.state.port(f"{role}-http")))

    def processes(self):
        return self.parts

    def env(self):
        return {
            "LAKEWARD_TEST_HDFS_HA": f"hdfs://{SERVICE}",
            "LAKEWARD_TEST_HDFS_HA_CONF": str(self.conf),
            **{f"LAKEWARD_TEST_WEBHDFS_HA{role[-1]}": f"http://{self._address(f'{role}-http')}" for role in NAMENODES},
        }

    def _launch(self, role):
        if role in NAMENODES:
            command = self._namenode(role)
        else:
            command = java(self.conf, {"ha-journal": JOURNALNODE, "ha-datanode": DATANODE}[role])
        self.parts[role].launch(command)

    def _await(self, role):
        port = self.state.port(f"{role}-http")
        ready = {"ha-journal": lambda: answers(port, "Hadoop:service=JournalNode,name=JournalNodeInfo"), "ha-datanode": lambda: registered(port, 1)}
        self.parts[role].await_ready(ready.get(role, lambda: answers(port)))

    def _namenode(self, role, *arguments):
        name = NAMENODES[role]
        return java(self.conf, NAMENODE, "-D", f"dfs.ha.namenode.id={name}", "-D",
                    f"dfs.namenode.name.dir=file://{self.folder / name}", *arguments)

    def _core_site(self):
        return {
            "fs.defaultFS": f"hdfs://{SERVICE}",
            "hadoop.tmp.dir": self.folder / "tmp",
            "hadoop.http.staticuser.user": getpass.getuser(),
            # A dead NameNode refuses at once: asking it ten times, a second apart, would only delay a failover.
            "ipc.client.connect.max.retries": 1,
        }

    def _hdfs_site(self):
        addresses = {}
        for role, name in NAMENODES.items():
            addresses[f"dfs.namenode.rpc-address.{SERVICE}.{name}"] = self._address(role)
            addresses[f"dfs.namenode.http-address.{SERVICE}.{name}"] = self._address(f"{role}-http")
        return {
            "dfs.nameservices": SERVICE,
            f"dfs.ha.namenodes.{SERVICE}": ",".join(NAMENODES.values()),
            **addresses,
            "dfs.namenode.shared.edits.dir": f"qjournal://{self._address('ha-journal')}/{SERVICE}",
            "dfs.journalnode.edits.dir": self.folder / "journal",
            "dfs.journalnode.rpc-address": self._address("ha-journal"),
            "dfs.journalnode.http-address": self._address("ha-journal-http"),
            "dfs.ha.automatic-failover.enabled": "false",
            # The test kills the other one itself.
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            f"dfs.client.failover.proxy.provider.{SERVICE}":
                "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
            "dfs.ha.tail-edits.period": 1,
            "dfs.datanode.data.dir": f"file://{self.folder / 'blocks'}",
            "dfs.datanode.address": self._address("ha-datanode"),
            "dfs.datanode.http.address": self._address("ha-datanode-http"),
            "dfs.datanode.ipc.address": self._address("ha-datanode-ipc"),
            **SMALL,
        }

    def _address(self, name):
        return f"127.0.0.1:{self.state.port(name)}"
