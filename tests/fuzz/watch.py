"""How long a server keeps others waiting, measured by a process that does nothing else."""

import json
import subprocess
import sys

from tests.e2e.servers import ROOT

LONGEST_S = 0.25
"""The longest that anybody may wait to hear that the server is alive."""


class Watch:
    """Asks for the health of a server all the time, in a process of its own.

    The process of the tests is too busy making up requests to measure anything.
    """

    def __init__(self, url):
        command = [sys.executable, "-m", "tests.fuzz.probe", url]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def seconds(self):
        """How long each answer took so far; it starts anew."""
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)
