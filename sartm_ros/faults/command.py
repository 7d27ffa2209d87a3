"""The command line of `python -m sartm_ros.faults`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sartm_core.errors import SartmError
from sartm_core.machine import describe_machine
from sartm_core.progress import console, progress
from sartm_ros.faults import catalogue, presentation
from sartm_ros.faults.description import Fault
from sartm_ros.faults.rig import Rig
from sartm_ros.faults.session import live_rig, own_rig, run_all, run_healthy
from sartm_ros.faults.trial import Outcome
from sartm_ros.replay.node_process import ended_by_signals, isolate_this_process, use_profile
from sartm_ros.replay.session import node_parameter

MODEL = "sartm-n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        names = options.names or (list(catalogue.FAULTS) if options.table else [])
        faults = catalogue.find(list(catalogue.FAULTS) if names == ["all"] else names)
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.list:
        print(presentation.listing(faults or catalogue.FAULTS.values()))
        return 0
    if not faults and options.healthy is None:
        _parser().print_usage(sys.stderr)
        print("error: name a fault, or all; --list tells their names", file=sys.stderr)
        return 2
    try:
        if options.node is None:
            isolate_this_process()
        else:
            use_profile(os.environ)
        with ended_by_signals(), _rig(options) as rig:
            if options.healthy is not None:
                return _healthy(options, rig)
            return _trials(options, faults, rig)
    except SartmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


@contextmanager
def _rig(options: argparse.Namespace) -> Iterator[Rig]:
    if options.node is not None:
        with live_rig(options.node, options.pair) as rig:
            yield rig
        return
    parameters = dict(node_parameter(text) for text in options.param)
    with (
        tempfile.TemporaryDirectory(prefix="sartm_faults_") as folder,
        own_rig(options.model, Path(folder), parameters) as rig,
    ):
        yield rig


def _trials(options: argparse.Namespace, faults: Sequence[Fault], rig: Rig) -> int:
    with progress("faults", len(faults)) as bar:

        def told(fault: Fault, outcome: Outcome) -> None:
            bar.advance()
            if options.json or options.table:
                console.print(presentation.line(outcome), markup=False)
            else:
                print(presentation.line(outcome), flush=True)

        outcomes = run_all(faults, rig, told=told)
    machine = describe_machine()
    if options.json:
        result = {
            "node": rig.target,
            "machine": machine,
            "outcomes": [outcome.as_json() for outcome in outcomes],
        }
        print(json.dumps(result, indent=2))
    elif options.table:
        print(presentation.table(catalogue.FAULTS, outcomes))
        print(f"\nMeasured on {presentation.machine_line(machine)}.")
    return 0 if all(outcome.passed or outcome.skipped for outcome in outcomes) else 1


def _healthy(options: argparse.Namespace, rig: Rig) -> int:
    with progress(f"{options.healthy:g} s of healthy cameras"):
        result = {"node": rig.target, **run_healthy(rig, options.healthy)}
    if options.json:
        print(json.dumps({**result, "machine": describe_machine()}, indent=2))
    else:
        print(
            f"{result['reports']} reports and {result['masks']} masks in {options.healthy:g} s: "
            f"{len(result['not_ok'])} statuses not OK, accounting "
            f"{'; '.join(result['mismatches']) or 'closed'}"
        )
        for entry in result["not_ok"]:
            print(f"  after {entry['after_s']} s: {entry['status']}")
    return 1 if result["not_ok"] or result["mismatches"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sartm_ros.faults",
        description="Do to a segment node what goes wrong on robots, and see whether it says so, "
        "comes back and accounts for every image.",
        epilog="examples: python -m sartm_ros.faults --list; "
        "python -m sartm_ros.faults thermal_silent bag_loop; "
        "python -m sartm_ros.faults all --json; "
        "python -m sartm_ros.faults rgb_silent --node /robot/segment (stop its cameras first)",
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="faults, in this order; all = every one")
    add("--list", action="store_true", help="say what each fault does, expects and needs")
    add(
        "--node",
        metavar="/NAMESPACE/NAME",
        help="a node that runs, without cameras; default: one of its own, out of reach of others",
    )
    add("--pair", default="", help="of a node with several pairs of cameras (--node)")
    add("--model", default=MODEL, help="bundle of the node of its own (default %(default)s)")
    add("-p", "--param", action="append", default=[], metavar="NAME:=VALUE", help="for that node")
    add("--healthy", type=float, metavar="SECONDS", help="no fault: count what is not OK meanwhile")
    add("--json", action="store_true", help="one JSON object on stdout")
    add("--table", action="store_true", help="a Markdown table on stdout; all faults if none named")
    return parser
