"""What a node's process holds: memory, threads, file descriptors and DDS endpoints."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from rclpy.node import Node

TOLERATED_MIB = 4.0
"""Of growth in memory: the allocator keeps some of what was freed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process holds at one moment.

    Attributes:
        memory_mib: resident, without pages of files.
        threads, files: how many.
        endpoints: publishers, subscriptions and services that others see.
    """

    memory_mib: float
    threads: int
    files: int
    endpoints: int

    @classmethod
    def of(cls, pid: int, endpoints: int) -> Usage:
        """Of the process ``pid``, whose ``endpoints`` others have counted."""
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        return cls(
            memory_mib=round(int(status["RssAnon"].split()[0]) / 1024, 1),
            threads=int(status["Threads"]),
            files=len(os.listdir(f"/proc/{pid}/fd")),
            endpoints=endpoints,
        )

    def leaks(self, before: Usage) -> list[str]:
        """What has grown since ``before``."""
        allowed = {"memory_mib": TOLERATED_MIB}
        return [
            f"{field.name} {getattr(before, field.name)} -> {getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) > getattr(before, field.name) + allowed.get(field.name, 0)
        ]


def history(usages: Sequence[Usage]) -> dict[str, list[float]]:
    """Name of what is held -> how much at each moment."""
    return {field.name: [getattr(u, field.name) for u in usages] for field in fields(Usage)}


def endpoints_of(target: str, observer: Node) -> int:
    """How many publishers, subscriptions and services ``observer`` sees of the node ``target``."""
    namespace, _, name = target.rpartition("/")
    whose = name, namespace or "/"
    count = len(observer.get_service_names_and_types_by_node(*whose))
    infos: Callable[[str], list]
    for names, infos in (
        (observer.get_publisher_names_and_types_by_node, observer.get_publishers_info_by_topic),
        (observer.get_subscriber_names_and_types_by_node, observer.get_subscriptions_info_by_topic),
    ):
        for topic, _ in names(*whose):
            count += sum((i.node_name, i.node_namespace) == whose for i in infos(topic))
    return count
