"""`sartm cache`: what is kept on disk that can be made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sartm_core.cli.build_engine import EngineCacheFolder
from sartm_core.cli.output import emit
from sartm_core.errors import SartmError

app = typer.Typer(no_args_is_help=True, add_completion=False)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of the cache.

    Attributes:
        path: of the file.
        kind: engine, timings (of layers, for the next engine) or text (an embedding).
        size: of the file, and of the one beside it that says what it is, bytes.
        about: what it is, in words.
    """

    path: Path
    kind: str
    size: int
    about: str

    @property
    def name(self) -> str:
        return self.path.name


@app.callback()
def cache() -> None:
    """Engines and text embeddings that are kept on disk; all of them can be made again."""


@app.command("ls")
def list_kept(engine_cache: EngineCacheFolder = None, as_json: Json = False) -> None:
    """List what is kept, with sizes.

    Example: sartm cache ls
    """
    kept = _kept(engine_cache)
    width = max((len(each.name) for each in kept), default=0)
    total = sum(each.size for each in kept)
    emit(
        {"files": [_described(each) for each in kept], "bytes": total},
        as_json,
        [
            *(
                f"{each.name:<{width}}  {each.kind:<7}  {each.size / 1e6:9.3f} MB  {each.about}"
                for each in kept
            ),
            f"{len(kept)} files, {total / 1e6:.3f} MB",
        ],
    )


@app.command("rm")
def remove(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names as `sartm cache ls` shows them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove everything.")] = False,
    engine_cache: EngineCacheFolder = None,
    as_json: Json = False,
) -> None:
    """Remove files of the cache, by name or all.

    Example: sartm cache rm --all
    """
    from sartm_core.runtime.tensorrt.engine_cache import remove_engine

    if everything == bool(names):
        raise typer.BadParameter("give names, or --all", param_hint="NAMES")
    kept = {each.name: each for each in _kept(engine_cache)}
    unknown = [name for name in names or () if name not in kept]
    if unknown:
        raise SartmError(
            "no such file in the cache", got=", ".join(unknown), remedy="see `sartm cache ls`"
        )
    chosen = [kept[name] for name in names or kept]
    for each in chosen:
        try:
            remove_engine(each.path)
        except OSError as error:
            raise SartmError("cannot be removed", got=error) from error
    freed = sum(each.size for each in chosen)
    emit(
        {"removed": [_described(each) for each in chosen], "bytes": freed},
        as_json,
        f"{len(chosen)} files removed, {freed / 1e6:.3f} MB",
    )


def _kept(engine_cache: Path | None) -> list[Kept]:
    from sartm_core.files import cache_folder
    from sartm_core.language.cache import FOLDER
    from sartm_core.runtime.tensorrt.engine_cache import ENGINE_SUFFIX, TIMINGS_SUFFIX, EngineCache

    engines = EngineCache(engine_cache).folder
    return [
        *(_engine(path) for path in sorted(engines.glob(f"*{ENGINE_SUFFIX}"))),
        *_files("timings", engines, TIMINGS_SUFFIX),
        *_files("text", cache_folder(FOLDER), ".npz"),
    ]


def _files(kind: str, folder: Path, suffix: str) -> list[Kept]:
    paths = sorted(folder.glob(f"*{suffix}"))
    return [Kept(path, kind, path.stat().st_size, "") for path in paths]


def _engine(path: Path) -> Kept:
    from sartm_core.runtime.tensorrt.engine_cache import read_facts

    size, sidecar, facts = path.stat().st_size, path.with_suffix(".json"), read_facts(path)
    if sidecar.is_file():
        size += sidecar.stat().st_size
    if "key" not in facts:
        return Kept(path, "engine", size, "nothing says what it is")
    key, verified = facts["key"], facts.get("verification")
    words = f"{key['bundle']} {key['precision']}, {key['module']} {key['version']}, {key['gpu']}"
    if verified is None:
        words += ", not verified yet"
    else:
        words += f", agreement {verified['agreement']:.4f}"
        words += "" if verified["ok"] else ": not used"
    return Kept(path, "engine", size, words)


def _described(kept: Kept) -> dict[str, object]:
    return {
        "name": kept.name,
        "kind": kept.kind,
        "bytes": kept.size,
        "about": kept.about,
        "path": str(kept.path),
    }
