"""`python -m sartm_core` is `sartm`."""

import sys

from sartm_core.cli import main

sys.exit(main())
