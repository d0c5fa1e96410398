"""A server on this machine that hears heartbeats and answers as it is told to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class Listener:
    """Hears requests at `url`, and answers with `status` when its `patience` is set."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, dict[str, str]]] = []
        self.status = 200
        self.url = ""
        self.patience = threading.Event()
        self.patience.set()


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener at a free port, until the block ends."""
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listener.heard.append((self.command, self.path, dict(self.headers)))
            listener.patience.wait(30)
            self.send_response(listener.status)
            if listener.status == 302:
                self.send_header("Location", f"{listener.url}/elsewhere")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    listener.url = f"http://127.0.0.1:{server.server_port}/ping"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield listener
    finally:
        listener.patience.set()
        server.shutdown()
        thread.join()
        server.server_close()
