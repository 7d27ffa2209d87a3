"""Quality of service of each kind of topic, and what to say when two ends do not fit."""

from __future__ import annotations

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
)


def images_in() -> QoSProfile:
    """Camera images: best effort, so that it fits reliable and best-effort drivers."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT
    )


def masks_out() -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE
    )


def pictures_out() -> QoSProfile:
    """What people look at: only the newest matters."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE
    )


def latched() -> QoSProfile:
    """One message that a late subscriber still gets."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def diagnostics_out() -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE
    )


def mismatch(topic: str, policy: str) -> str:
    """What to do about a publisher that offers less than our subscription asks for.

    ``policy`` is the name of the one that does not fit, e.g. ``RELIABILITY``.
    """
    name = policy.lower()
    weakest = {"reliability": "best_effort", "durability": "volatile"}.get(name, "its default")
    return (
        f"a publisher of {topic} offers a {name} that this node's subscription does not accept, "
        f"so nothing of it arrives; remedy: start the node with "
        f"qos_overrides.{topic}.subscription.{name}:={weakest}, or change the publisher"
    )
