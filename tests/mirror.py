"""A mirror of data files on this machine, for tests of downloads."""

import contextlib
import http.server
import threading


@contextlib.contextmanager
def serving(folder):
    """A server that gives out the folder: its address, and the list of paths that were asked for.

    Below /breaks it says that 1,000,000 bytes come, sends a few and hangs up; below /hangs it never
    answers."""
    asked, done = [], threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def do_GET(self):
            if self.path.startswith("/hangs"):
                done.wait(60)
            elif self.path.startswith("/breaks"):
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                self.wfile.write(b"x" * 100_000)
            else:
                super().do_GET()

        def log_message(self, *args):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    done.set()
    server.shutdown()
    thread.join()
    server.server_close()
