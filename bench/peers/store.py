"""Files of a lake for a process without Hadoop's libraries: a local folder, or HDFS over WebHDFS."""

import http.client
import os
import urllib.parse
from pathlib import Path


def open_store(url):
    parts = urllib.parse.urlparse(url)
    return Hdfs(os.environ["BENCH_WEBHDFS"], parts.path) if parts.scheme == "hdfs" else Folder(parts.path)


class Folder:
    def __init__(self, root):
        self.root = Path(root)

    def write(self, path, body):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)


class Hdfs:
    def __init__(self, address, root):
        self.name_node, self.root = urllib.parse.urlparse(address).netloc, root

    def write(self, path, body):
        created = f"/webhdfs/v1{urllib.parse.quote(f'{self.root}/{path}')}?op=CREATE&user.name={os.environ.get('USER') or 'root'}"
        data_node = urllib.parse.urlparse(self._put(self.name_node, created, None, 307).headers["Location"])
        self._put(data_node.netloc, f"{data_node.path}?{data_node.query}", body, 201)

    def _put(self, host, path, body, wanted):
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("PUT", path, body)
        answer = connection.getresponse()
        answer.read()
        if answer.status != wanted:
            raise SystemExit(f"PUT {path}: {answer.status} {answer.reason}")
        return answer
