"""`python -m sartm_ros.replay`"""

import sys

from sartm_ros.replay.replay import main

sys.exit(main())
