"""One thread is enough for the small networks of the tests.

With more they spend their time waiting for each other where the machine is busy. It is set before
torch is imported, and the servers that tests start inherit it.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
