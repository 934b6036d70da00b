"""The map of segments as a file to edit, and scores seen under another map."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, write_text
from bayesseg.errors import UsageError

if TYPE_CHECKING:
    from bayesseg.posterior import Posterior
    from bayesseg.segment_map import Entry, Shown, Split


def listed(posterior: Posterior) -> list[dict[str, Any]]:
    """The segments a run shows, for programs."""
    from bayesseg.segment_map import shown

    return [asdict(one) for one in shown(posterior.manifest["segments"])]


def renamed(
    posterior: Posterior, scored: Sequence[Mapping[str, Any]], scores: Path, *, given: bool
) -> list[dict[str, Any]]:
    """The segments of a score file, called as the run's map has it where one was ``given``.

    Raises:
        UsageError: the map merges or splits otherwise than the scores: sums over customers cannot be
            put together from what a score file holds, for their intervals belong to the draws.
    """
    if not given:
        return [dict(one) for one in scored]
    now = listed(posterior)
    made = [[(one["id"], list(one["of"]), one["rule"]) for one in own] for own in (now, scored)]
    if made[0] != made[1]:
        raise UsageError(
            f"{scores} has the segments {', '.join(one['id'] for one in scored)}, the map makes "
            f"{', '.join(one['id'] for one in now)} of them",
            fix="score again with the same --names",
        )
    return [{**old, **new} for old, new in zip(scored, now, strict=True)]


def write(posterior: Posterior, path: Path, *, force: bool) -> None:
    """Write the map that a run has, or would have, with what one may do to it."""
    refuse_existing(path, force=force, file=True)
    write_text(path, text_of(posterior))


_HEAD = """\
# The map of segments of model {model}: what they are called, and which of them people
# see as one, or as two. It never changes the model.
#   bayesseg segments RUN SCORES --names FILE       the same scores under other names
#   bayesseg score RUN DATA --names FILE            scores with its merges and splits
#   bayesseg fit DATA --previous RUN --names FILE   a refit that keeps to it
# An id (S1, S2, ...) stays with its segment through refits and is never used again.

schema = {schema}

# label, action: yours to write. label_fr, action_fr: for French reports.
# pin:  a name that rules gave stays after a refit, whatever they say then; your own stays anyway.
# lock: a refit that loses the segment says so and exits 4.
"""
_MERGE = """
# Merge segments into one, by the sum of their memberships; the id becomes S2_S3:
#   [[merge]]
#   of = ["S2", "S3"]
"""
_SPLIT = """
# Split one by each customer's own value: S1a fulfils the rule, S1b are all others, unknown values
# included. Give above or below a number, or is = ["a level", "another"] of a text. Column
# {own} is the customer's mean membership of that segment. Any column of the data will do; this
# run has
{columns}
#   [[split]]
#   of     = "S1"
#   column = "{own}"
#   above  = 0.8
"""


def text_of(posterior: Posterior) -> str:
    """The map of a run as TOML, with comments; to read it back changes nothing that is shown."""
    from bayesseg.segment_map import OWN, SCHEMA, from_json, shown

    found = posterior.manifest["segments"]
    own, shows = from_json(found["map"]), shown(found)
    hidden = [name for name in own.entries if name not in {one.id for one in shows}]
    state = posterior.features
    assert state is not None
    texts = [f.column for f in (*state.features, *state.texts) if f.levels]
    columns = ", ".join([*state.profiled, *(f"{name} (text)" for name in dict.fromkeys(texts))])
    wrapped = textwrap.fill(columns, 96, initial_indent="#   ", subsequent_indent="#   ")
    pieces = [
        _HEAD.format(model=posterior.manifest["model_id"][:12], schema=SCHEMA),
        *(_table(one.id, _shown(own.entry(one.id), one)) for one in shows),
        *(_table(name, asdict(own.entry(name))) for name in hidden),
        _MERGE,
        *(f"\n[[merge]]\nof = {_value(group)}\n" for group in own.merges),
        _SPLIT.format(own=OWN, columns=wrapped),
        *(_rows("[[split]]", _split(split)) for split in own.splits),
    ]
    return "".join(pieces)


def _shown(entry: Entry, one: Shown) -> dict[str, Any]:
    """What an expert said of a segment, and as comments what it is called otherwise."""
    said: dict[str, Any] = {}
    own = one.of == (one.id,)
    for key, usual in (
        ("label", one.name),
        ("action", one.action),
        ("label_fr", one.name_fr),
        ("action_fr", one.action_fr),
    ):
        given = getattr(entry, key)
        # a model's own name and action stand ready to be edited, what follows from others does not
        said[key if given or (own and not key.endswith("_fr")) else f"# {key}"] = given or usual
    return said | ({"pin": entry.pin} if own else {}) | {"lock": entry.lock}


def _split(split: Split) -> dict[str, Any]:
    return {"of": split.of, "column": split.column, split.rule: split.value}


def _table(name: str, said: Mapping[str, Any]) -> str:
    return _rows(f"[segments.{name}]", {k: v for k, v in said.items() if v != ""})


def _rows(head: str, rows: Mapping[str, Any]) -> str:
    return f"\n{head}\n" + "".join(f"{key} = {_value(value)}\n" for key, value in rows.items())


def _value(value: Any) -> str:
    """JSON's texts, numbers, lists and booleans are TOML's."""
    return json.dumps(value, ensure_ascii=False)
