"""Adapters between ROS 2 and sartm_core: messages in, sartm_core, messages out."""
