"""What happens when the compiled module cannot be imported."""

import os
import sys


def leave_if_command(error: ImportError) -> None:
    """Where this process is the command `fastnn`, ends it with a message (exit code 2) instead of a traceback.

    The package is imported before the command line's own code runs, which could not catch the error.
    """
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    as_module = program == "-m" and "fastnn" in sys.orig_argv  # Python has not replaced "-m" by a path yet
    if as_module or program in ("fastnn", "fastnn.exe"):
        print(f"fastnn: error: {error}", file=sys.stderr)
        raise SystemExit(2)
