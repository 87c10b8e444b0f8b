"""A proxy before a server, that cuts connections in the middle of what is said, and lets them hang."""

import random
import socket
import threading
from contextlib import suppress

PIECE = 1 << 16


class Proxy:
    """Passes on what clients and a server on the loopback address say to each other, until it is told otherwise.

    `cuts` counts the connections that were cut inside a message.
    """

    def __init__(self, port: int, seed: int) -> None:
        """Listen on a free port, `self.port`; the server's is `port`. `seed` says where messages are cut."""
        self._to, self._rng = port, random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._cut, self._flowing = threading.Event(), threading.Event()
        self._flowing.set()
        self._open: list[socket.socket] = []
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut the next messages of any size short, one on each connection, somewhere inside."""
        self._cut.set()

    def mend(self) -> None:
        """Pass everything on again."""
        self._cut.clear()
        self._flowing.set()

    def hang(self) -> None:
        """Pass nothing on, and close nothing."""
        self._flowing.clear()

    def close(self) -> None:
        """Close everything."""
        self._listener.close()
        self._flowing.set()
        for line in self._open:
            line.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with suppress(OSError):
                    server = socket.create_connection(("127.0.0.1", self._to))
                    self._open += [client, server]
                    for source, sink in ((client, server), (server, client)):
                        threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()
                    continue
                client.close()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(PIECE):
                self._flowing.wait()
                if self._cut.is_set() and len(data) > 1:
                    self.cuts += 1
                    sink.sendall(data[: self._rng.randrange(1, len(data))])
                    break
                sink.sendall(data)
        for line in (source, sink):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
