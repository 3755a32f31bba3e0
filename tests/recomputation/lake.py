"""The lake as a plain reader sees it: a local folder, or HDFS over WebHDFS. And the log in it."""

import contextlib
import hashlib
import json
import os
import stat
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import NamedTuple

RETRIES = 5


def open_lake(url, webhdfs=None):
    """`file:///path`, a path, or `hdfs://host:port/path` together with the NameNode's http address."""
    parts = urllib.parse.urlparse(url)
    if parts.scheme == "hdfs":
        address = webhdfs or os.environ.get("LAKEWARD_TEST_WEBHDFS")
        if not address:
            raise SystemExit("an hdfs:// lake needs --webhdfs or LAKEWARD_TEST_WEBHDFS")
        return WebHdfs(address, parts.path)
    return Folder(parts.path if parts.scheme == "file" else url)


class Folder:
    def __init__(self, root):
        self.root = Path(root)

    def read(self, path):
        return (self.root / path).read_bytes()

    def files(self, path):
        """{path below the root: length} of every file below `path`; empty where there is no such folder."""
        below = self.root / path
        found = {}
        for file in below.rglob("*"):
            # A temporary file may be gone again.
            with contextlib.suppress(FileNotFoundError):
                status = file.stat()
                if stat.S_ISREG(status.st_mode):
                    found[file.relative_to(self.root).as_posix()] = status.st_size
        return found

    def put(self, path, body):
        """For tests that spoil a lake: behind Lakeward's back."""
        (self.root / path).write_bytes(body)

    def delete(self, path):
        (self.root / path).unlink()


class WebHdfs:
    def __init__(self, address, root):
        self.base = address.rstrip("/") + "/webhdfs/v1" + "/" + root.strip("/")
        self.user = os.environ.get("HADOOP_USER_NAME") or os.environ.get("USER") or "root"
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def read(self, path):
        return self._ask(path, "OPEN")

    def files(self, path):
        found, folders = {}, [path.strip("/")]
        while folders:
            folder = folders.pop()
            try:
                answer = json.loads(self._ask(folder, "LISTSTATUS"))
            except FileNotFoundError:
                continue
            for status in answer["FileStatuses"]["FileStatus"]:
                name = f"{folder}/{status['pathSuffix']}"
                if status["type"] == "DIRECTORY":
                    folders.append(name)
                else:
                    found[name] = status["length"]
        return found

    def put(self, path, body):
        """For tests that spoil a lake: behind Lakeward's back."""
        with self._send("PUT", f"{self._url(path, 'CREATE')}&overwrite=true&noredirect=true") as answer:
            data_node = json.load(answer)["Location"]
        self._send("PUT", data_node, body).close()

    def delete(self, path):
        with self._send("DELETE", self._url(path, "DELETE")) as answer:
            if not json.load(answer)["boolean"]:
                raise FileNotFoundError(path)

    def open_files(self, path):
        """Files below `path` that a writer has not closed, or has not been able to."""
        return {file for file in self.files(path) if self._under_construction(file)}

    def _under_construction(self, path):
        try:
            return json.loads(self._ask(path, "GET_BLOCK_LOCATIONS"))["LocatedBlocks"]["isUnderConstruction"]
        except FileNotFoundError:
            return False

    def _url(self, path, operation):
        query = urllib.parse.urlencode({"op": operation, "user.name": self.user})
        return f"{self.base.rstrip('/')}/{urllib.parse.quote(path)}?{query}"

    def _send(self, method, url, body=None):
        return self.opener.open(urllib.request.Request(url, body, method=method), timeout=60)

    def _ask(self, path, operation):
        """A DataNode asks the NameNode over a kept connection, which fails once after the NameNode was restarted."""
        url = self._url(path, operation)
        for attempt in range(RETRIES):
            try:
                with self.opener.open(url, timeout=60) as answer:
                    return answer.read()
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    raise FileNotFoundError(path) from None
                if attempt + 1 == RETRIES:
                    raise
            except OSError:
                if attempt + 1 == RETRIES:
                    raise
            time.sleep(1)


def visible(paths, folder):
    """Those below the folder that Hive, Spark or DuckDB would read: no part of the name begins with `_` or `.`"""
    below = len(folder.rstrip("/")) + 1
    return sorted(path for path in paths if not any(part[:1] in ("_", ".") for part in path[below:].split("/")))


def log_in_force(lake, pipeline):
    """The id of the newest log that counts: each before it has ended, with an entry that names the next (L0)."""
    logs = sorted(lake.files(f"_lakeward/{pipeline}/logs"))
    if not logs:
        raise SystemExit(f"the lake holds no log of {pipeline}")
    ids = [json.loads(lake.read(path))["log_id"] for path in logs]
    for log_id, following in zip(ids, ids[1:]):
        paths = sorted(path for path in lake.files(f"_lakeward/{pipeline}/{log_id}/log") if path.endswith(".json"))
        kind = json.loads(lake.read(paths[-1]))["kind"] if paths else None
        if not isinstance(kind, dict) or kind.get("ended", {}).get("next") != following:
            return log_id
    return ids[-1]


def log_entries(lake, pipeline):
    """All entries of the pipeline's log in force, in order, with holes and broken hash links refused."""
    log_id = log_in_force(lake, pipeline)
    paths = sorted(path for path in lake.files(f"_lakeward/{pipeline}/{log_id}/log") if path.endswith(".json"))
    first = f"_lakeward/{pipeline}/{log_id}/log/0/{0:020}.json"
    if paths and first not in paths and json.loads(lake.read(paths[-1])).get("entries_from"):
        raise SystemExit("old entries were removed (lake.keep_entries): there is nothing to recompute from the beginning")
    entries, previous = [], None
    for version, path in enumerate(paths):
        expected = f"_lakeward/{pipeline}/{log_id}/log/{version // 10_000}/{version:020}.json"
        if path != expected:
            raise SystemExit(f"the log has a hole: {expected} is absent, the next file is {path}")
        body = lake.read(path)
        entry = json.loads(body)
        if entry["version"] != version or entry["previous"] != previous or entry["log_id"] != log_id:
            raise SystemExit(f"entry {version} does not follow from the one before it")
        entries.append(entry)
        previous = hashlib.sha256(body).hexdigest()
    return entries


class Definition(NamedTuple):
    """What decided: fields as {name: (required, round)}, names of checks and KPIs."""

    fields: dict
    checks: set
    kpis: set


def definitions(lake, pipeline, entries):
    """{hash: Definition} of every definition that an entry was decided by."""
    found = {}
    for decided_by in {entry["definition"] for entry in entries}:
        told = json.loads(lake.read(f"_lakeward/{pipeline}/definitions/{decided_by}.json"))
        fields = {field["name"]: (field["required"], field["round"]) for field in told["fields"]}
        names = lambda section: {value["name"] for value in told[section]}
        found[decided_by] = Definition(fields, names("checks"), names("kpis"))
    return found


def live_files(entries):
    """{layer: {final path: file}} after all entries; a file knows the definition that its entry was decided by."""
    live = {}
    for entry in entries:
        for layer, change in entry.get("layers", {}).items():
            files = live.setdefault(layer, {})
            for path in change.get("removed", []):
                del files[path]
            by = {"definition": entry["definition"]}
            files.update({file["path"]: {**file["staged"], "path": file["path"], **by} for file in change["added"]})
    return live
