"""`python -m sartm_ros.faults`: what goes wrong on robots, done to a node on purpose."""
