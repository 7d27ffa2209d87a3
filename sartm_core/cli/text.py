"""`sartm text`: words as vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sartm_core.cli.output import emit, progress
from sartm_core.errors import SartmError

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def text() -> None:
    """Words as vectors of a text encoder."""


@app.command()
def embed(
    names: Annotated[str, typer.Argument(help="Words; a|b are synonyms: their mean, named a.")],
    encoder: Annotated[str, typer.Option(help="minilm, open_clip or file.")] = "minilm",
    path: Annotated[
        str | None,
        typer.Option(help="open_clip: MODEL:FILE. file: FILE.npz or SPACE:FILE.npy."),
    ] = None,
    templates: Annotated[
        str | None, typer.Option(help="photo, or none: bare words [what the encoder can].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="FILE.npz for --encoder file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Embed words and show how near they are to each other; every word is kept in the cache.

    Similarities are cosines from the centre of the text space, as the networks see them.

    Example: sartm text embed "car|vehicle,person,traffic cone" --out words.npz
    """
    from sartm_core.language import TEMPLATES, create_text_encoder, embed_words, reference_centre
    from sartm_core.language.embedding_file import write_embeddings

    groups = [tuple(word.strip() for word in entry.split("|")) for entry in names.split(",")]
    labels = [group[0] for group in groups]
    if len(set(labels)) != len(labels):
        raise SartmError("a word is named twice", got=names)
    if templates is not None and templates not in TEMPLATES:
        raise SartmError(
            "unknown set of templates", got=repr(templates), expected=", ".join(TEMPLATES)
        )
    chosen = None if templates is None else TEMPLATES[templates]
    with progress("embedding"):
        source = create_text_encoder(encoder, path)
        vectors = embed_words(groups, source, chosen)
        centre = reference_centre(source, chosen)
    if out is not None:
        write_embeddings(out, labels, vectors, centre, source.space)
    centred = vectors - centre
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosine = centred @ centred.T
    result = {
        "encoder": source.name,
        "space": source.space,
        "dim": source.dim,
        "words": labels,
        "embeddings": [[round(float(x), 6) for x in vector] for vector in vectors],
        "cosine": [[round(float(x), 4) for x in row] for row in cosine],
        "out": None if out is None else str(out),
    }
    width = max(len(label) for label in labels)
    lines = [f"{source.space}, {source.dim} dimensions"]
    for label, row in zip(labels, cosine, strict=True):
        lines.append(f"{label:<{width}}  " + " ".join(f"{value:5.2f}" for value in row))
    if out is not None:
        lines.append(f"written to {out}")
    emit(result, as_json, lines)
