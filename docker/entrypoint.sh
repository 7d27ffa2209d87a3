#!/usr/bin/env bash
# Gives a command ROS, sartm's packages and the Fast DDS profile, then becomes that command.
set -e
source "/opt/ros/$ROS_DISTRO/setup.bash"
source /opt/sartm/.venv/bin/activate
source /opt/sartm/install/setup.bash
# Both names of the variable: Kilted and later know the second one only.
: "${FASTRTPS_DEFAULT_PROFILES_FILE:=/opt/sartm/config/fastdds.xml}"
: "${FASTDDS_DEFAULT_PROFILES_FILE:=$FASTRTPS_DEFAULT_PROFILES_FILE}"
export FASTRTPS_DEFAULT_PROFILES_FILE FASTDDS_DEFAULT_PROFILES_FILE
exec "$@"
