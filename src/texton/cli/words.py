"""``texton words``: what a classifier sees in the pictures that excite filters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from texton.cli import output as o
from texton.cli.progress import progress


def words_command(
    evidence: Annotated[
        Path,
        typer.Argument(metavar="EVIDENCE", help="What `texton scan` made.", show_default=False),
    ],
    filters: Annotated[
        list[str],
        typer.Argument(
            metavar="LAYER:CHANNELS...", help="relu5_2:4, relu5_2:all.", show_default=False
        ),
    ],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: o.Json = False,
) -> None:
    """Print words for filters: what EfficientNet-lite0 sees in the pictures that excite them.

    Only words that shuffled activations do not reach in 99 of 100 cases; most filters have none.
    """
    from texton.evidence.format import Evidence
    from texton.jobs.making import loaded
    from texton.methods.parts.words import CLASSIFIER, see, words
    from texton.network.choose import parse_filters
    from texton.network.device import choose_compute
    from texton.network.load import load_network

    found = Evidence.open(evidence)
    network = loaded(found.manifest.network_options)
    o.tell_assumed(network)
    chosen = {x.layer: x.channels for x in parse_filters(filters, network, None)}
    with progress() as told:
        tell = lambda done, of: told.reach(done, of, "pictures")  # noqa: E731
        seen = see(found, load_network(CLASSIFIER), chosen, choose_compute(device), tell)
    listed: list[dict[str, Any]] = []
    for layer, channels in chosen.items():
        places = found.layer(layer)
        named = words(seen, [[x.picture for x in places.places(c)] for c in channels])
        listed += [
            {"layer": layer, "channel": channel, "words": [list(one) for one in own]}
            for channel, own in zip(channels, named, strict=True)
        ]
    if as_json:
        print(json.dumps({"pictures": len(seen.rows), "filters": listed}, ensure_ascii=False))
        return
    for one in listed:
        told_words = ", ".join(f"{word} {score:.1f}" for word, score in one["words"])
        print(f"{one['layer']}:{one['channel']}  {told_words or '–'}")
