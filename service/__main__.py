"""Owns the process: runs the ``refit`` command and turns outcomes into exit codes; refuses everything else."""

from __future__ import annotations

import sys

from service.cli import main

if __name__ == "__main__":
    sys.exit(main())
