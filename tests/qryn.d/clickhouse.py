#!/usr/bin/env python3
"""ClickHouse for qryn: the HTTP interface, as far as qryn uses it, before chdb's engine.

It takes GET and POST of `/` with a statement in the parameter `query`, in the body, or begun in the
one and continued in the other, in the database that the parameter `database` names. One statement
runs at a time. Everything is kept in a directory that is made at the start and removed at the end.

It is no ClickHouse server: no users, no compression, no settings in the address, no streams, and
the status codes of its errors are not ClickHouse's. Parsing, storing, sorting and counting are
chdb's, which is ClickHouse itself as a library.

Usage: clickhouse.py PORT_FILE, which gets the number of a free port once that is listened on.
"""

import json
import os
import re
import signal
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from chdb.session import Session

# qryn reads numbers as JavaScript does: nanoseconds since 1970 keep their last digits as text only.
# Servers wrote 64-bit numbers as text when qryn was made.
SETTINGS = ["SET output_format_json_quote_64bit_integers = 1"]

JSON_STATEMENT = re.compile(r"\bFORMAT JSON\w*$")
NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def in_ascii(answer: bytes) -> bytes:
    """Escapes what is not ASCII in an answer of JSON, where it can stand in strings only.

    qryn decodes each chunk that it receives by itself: a character whose bytes stand in two of them
    would become replacement characters.
    """
    return NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], answer.decode()).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers each request over a connection of its own."""

    session: Session

    def do_GET(self) -> None:
        """Runs the statement of the address."""
        self.run(b"")

    def do_POST(self) -> None:
        """Runs the statement of the address and the body."""
        self.run(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def run(self, body: bytes) -> None:
        """Runs a statement and answers with what it gives."""
        parameters = parse_qs(urlsplit(self.path).query)
        statement = "\n".join([*parameters.get("query", []), body.decode()]).strip()
        try:
            # A server answers an empty statement of a client that asks whether it is there.
            if not statement:
                return self.answer(200, b"Ok.\n")
            self.session.query(f"USE `{parameters.get('database', ['default'])[0]}`")
            result = self.session.query(statement, "TabSeparated").bytes() or b""
            self.answer(200, in_ascii(result) if JSON_STATEMENT.search(statement) else result)
        except RuntimeError as error:
            print(f"{error}\nin: {statement[:2000]}", file=sys.stderr, flush=True)
            self.answer(500, str(error).encode())

    def answer(self, status: int, body: bytes) -> None:
        """Sends an answer."""
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs errors only, where they happen."""


def main() -> None:
    """Serves until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="tailwater-chdb-") as directory:
        Handler.session = Session(directory)
        for setting in SETTINGS:
            Handler.session.query(setting)
        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            # In one step: whoever reads the file finds the whole number.
            partial = sys.argv[1] + ".partial"
            with open(partial, "w", encoding="ascii") as file:
                file.write(str(server.server_port))
            os.replace(partial, sys.argv[1])
            server.serve_forever()


if __name__ == "__main__":
    main()
