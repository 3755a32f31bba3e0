"""A TCP proxy that stands between the program and a server and can be told to misbehave.

One thread with one event loop for all proxies. Modes, which hold for connections there are and new ones:
`pass`; `hold` (nothing gets through, and nothing is lost: a network that is away for a while); `swallow` (requests get
through, answers are thrown away); `refuse` (connections are reset, new ones too); `slow` (a pause before each piece).
"""

import asyncio
import threading

PIECE = 64 * 1024
SLOW = 0.15


class Proxy:
    def __init__(self, name, target, port=0):
        """Forwards to `target`, (host, port). `port` 0 takes a free one; see `address`."""
        self.name, self.target, self.mode = name, target, "pass"
        self.swallowed = 0
        self._connections, self._change = set(), None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {name}", daemon=True)
        self._thread.start()
        self._server = self._call(self._listen(port))
        self.address = "127.0.0.1:{}".format(self._server.sockets[0].getsockname()[1])

    def set(self, mode):
        """Changes the mode. Connections whose answers were swallowed can't go on: they are reset when that ends."""
        self._call(self._set(mode))

    def close(self):
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _listen(self, port):
        self._change = asyncio.Event()
        return await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def _set(self, mode):
        before, self.mode = self.mode, mode
        self._change.set()
        self._change = asyncio.Event()
        if mode == "refuse":
            self._reset(self._connections)
        elif before == "swallow":
            self._reset([c for c in self._connections if c.spoiled])

    async def _close(self):
        self._server.close()
        self.mode = "pass"
        self._change.set()
        self._reset(self._connections)
        while self._connections:
            await asyncio.sleep(0.01)

    @staticmethod
    def _reset(connections):
        for connection in list(connections):
            connection.reset()

    async def _serve(self, reader, writer):
        if self.mode == "refuse":
            writer.transport.abort()
            return
        connection = Connection(writer)
        self._connections.add(connection)
        try:
            to_reader, to_writer = await asyncio.open_connection(*self.target)
        except OSError:
            connection.reset()
            self._connections.discard(connection)
            return
        connection.ends.append(to_writer)
        up = asyncio.create_task(self._pump(connection, reader, to_writer, answers=False))
        down = asyncio.create_task(self._pump(connection, to_reader, writer, answers=True))
        await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        connection.reset()
        await asyncio.gather(up, down, return_exceptions=True)
        self._connections.discard(connection)

    async def _pump(self, connection, source, sink, answers):
        try:
            while piece := await source.read(PIECE):
                await self._await_passage()
                if self.mode == "swallow" and answers:
                    connection.spoiled = True
                    self.swallowed += len(piece)
                    continue
                sink.write(piece)
                await sink.drain()
        except OSError:
            pass

    async def _await_passage(self):
        if self.mode == "slow":
            await asyncio.sleep(SLOW)
        while self.mode == "hold":
            await self._change.wait()


class Connection:
    """The two ends of one connection; `spoiled` once an answer of it is lost."""

    def __init__(self, writer):
        self.ends, self.spoiled = [writer], False

    def reset(self):
        for end in self.ends:
            end.transport.abort()
