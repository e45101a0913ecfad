"""Asks a server for its health ten times a second; a line of input asks how long that took."""

import json
import sys
import threading
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

TIMEOUT_S = 30


def ask(url, seconds):
    connection = HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
    while True:
        began = time.perf_counter()
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        seconds.append(time.perf_counter() - began if answer.status == 200 else TIMEOUT_S)
        time.sleep(0.1)


def main():
    seconds = []
    asking = threading.Thread(target=ask, args=(sys.argv[1], seconds), daemon=True)
    asking.start()
    for _ in sys.stdin:
        taken = seconds[:]
        del seconds[: len(taken)]
        # an asker that died has had no answer
        sys.stdout.write(f"{json.dumps(taken if asking.is_alive() else [TIMEOUT_S])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
