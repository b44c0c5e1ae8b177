"""HTTP servers that run in the process of a test."""

import http.server
import threading
from contextlib import contextmanager


@contextmanager
def running(server: http.server.HTTPServer):
    """Run a server on the loopback interface until the block ends. Yields its address and port.

    By default, a server notices only twice a second that it must end, and the second part of a response waits for the
    client's acknowledgment of the first, which takes 40 ms.
    """
    server.RequestHandlerClass.disable_nagle_algorithm = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
