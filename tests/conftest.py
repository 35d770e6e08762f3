"""For all tests: Ctrl-C works in what they start, also where the tests themselves run in a shell's background.

Predictions that tests make are kept where nobody else's are, and go with the tests.
"""

import os
import signal
import tempfile

signal.signal(signal.SIGINT, signal.default_int_handler)
_CACHE = tempfile.TemporaryDirectory(prefix="foretrace-tests-", ignore_cleanup_errors=True)
os.environ["XDG_CACHE_HOME"] = _CACHE.name
