"""`python -m sartm_ros.faults`"""

import sys

from sartm_ros.faults.command import main

sys.exit(main())
