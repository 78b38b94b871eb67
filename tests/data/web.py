"""A web server for tests, which can be told to fail."""

from __future__ import annotations

import http.server
import socket
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import fsspec


class Web:
    """Serves a folder on a port of its own, as a context manager.

    Attributes:
        url: of the folder.
        asked: how often each file was asked for.
        failures: file name -> what happens at the next requests for it, one after another: a status code, "cut" (half
            of the body, though all of it was promised), "short" (half of it, promised as the whole), "garbage" (other
            bytes of the same number) or "wait" (until `go` is set).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: Counter[str] = Counter()
        self.failures: dict[str, list[int | str]] = {}
        self.go, self.waiting = threading.Event(), threading.Event()
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = urlsplit(self.path).path.lstrip("/")
                web.asked[name] += 1
                failure = web.failures[name].pop(0) if web.failures.get(name) else None
                path = web.folder / name
                if isinstance(failure, int) or not path.is_file():
                    self.send_error(failure if isinstance(failure, int) else 404)
                    return
                data = path.read_bytes()
                body = {"cut": data[: len(data) // 2], "short": data[: len(data) // 2], "garbage": bytes(len(data))}
                self.send_response(200)
                self.send_header("Content-Length", str(len(body["short"] if failure == "short" else data)))
                self.end_headers()
                if failure == "wait":
                    self.wfile.write(data[: len(data) // 2])
                    self.wfile.flush()
                    web.waiting.set()
                    web.go.wait(60)
                    data = data[len(data) // 2 :]
                self.wfile.write(body.get(str(failure), data))

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET
            request_queue_size = 64

            def handle_error(self, *_: object) -> None:  # a client that was killed
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Web:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()


def into_memory(folder: Path, name: str) -> str:
    """Copies a folder's files into fsspec's store in memory, and returns the URL."""
    store = fsspec.filesystem("memory")
    for path in folder.iterdir():
        store.pipe_file(f"/{name}/{path.name}", path.read_bytes())
    return f"memory://{name}"
