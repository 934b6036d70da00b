"""The experts' map of segments: names, merges, splits, pins and locks. L1.

A small TOML file beside a run. It never changes the model: it says what the model's segments
(``S1``, ``S2``, ...) are called and which of them people see as one, or as two::

    schema = 1

    [segments.S1]
    label  = "regulars"              # also label_fr, action, action_fr
    pin    = true                    # keeps a rule's own name, whatever the rules say later
    lock   = true                    # a refit that loses S1 says so and exits 4

    [[merge]]
    of = ["S2", "S3"]                # seen as one: S2_S3

    [[split]]
    of     = "S4"                    # seen as two: S4a, who fulfil the rule, and S4b, all others
    column = "days_since_last"
    above  = 180                     # or below = 180, or is = ["Paris", "Lyon"]

Merges come first, then splits in the order of the file. A customer belongs to a merged segment by the
sum of the memberships, draw by draw. In a split segment the whole membership goes to the part that the
customer's own value names; a value that is not known fulfils no rule. Column ``membership`` is the
customer's mean membership of the very segment that is split. Quantiles of a file are no rule: a
customer's segment would depend on who else is in it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unicodedata import category

import numpy as np
import numpy.typing as npt

from bayesseg._toml import Reader, nearest
from bayesseg._types import Array
from bayesseg.errors import UsageError

SCHEMA = 1
OWN = "membership"
"""The column of a split that is the membership itself."""
_LONGEST = {"label": 80, "action": 200}
_MODEL_ID = re.compile(r"S[1-9]\d*")
_RULES = {
    "above": ("above", "au-dessus de"),
    "below": ("below", "en dessous de"),
    "is": ("is",) * 2,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What an expert says of one segment; an empty text leaves it to the rules."""

    label: str = ""
    label_fr: str = ""
    action: str = ""
    action_fr: str = ""
    pin: bool = False
    lock: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """``of`` becomes ``of + "a"``, who fulfil the rule on ``column``, and ``of + "b"``, who do not."""

    of: str
    column: str
    rule: str
    value: float | tuple[str, ...]

    def words(self, language: int = 0) -> str:
        """The rule in words, in English or (1) in French."""
        value = f"{self.value:g}" if isinstance(self.value, float) else ", ".join(self.value)
        return f"{self.column} {_RULES[self.rule][language]} {value}"


@dataclass(frozen=True, slots=True)
class SegmentMap:
    """A map, checked in itself; ``checked`` holds it against the segments of a run."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    merges: tuple[tuple[str, ...], ...] = ()
    splits: tuple[Split, ...] = ()
    source: str = "the map of segments"

    def entry(self, name: str) -> Entry:
        """What is said of a segment."""
        return self.entries.get(name, _NOTHING)

    @property
    def locked(self) -> tuple[str, ...]:
        """The model's segments that a refit must keep: those locked, alone or as part of another."""
        found = (part for one, entry in self.entries.items() if entry.lock for part in parts(one))
        return tuple(dict.fromkeys(found))


_NOTHING = Entry()


def parts(name: str) -> tuple[str, ...]:
    """The model's segments in an id: those of ``S2_S3a`` are S2 and S3."""
    return tuple(_MODEL_ID.findall(name))


def merged(names: Iterable[str]) -> str:
    """The id of merged segments: ``S2_S3``."""
    return "_".join(sorted(names, key=lambda one: int(one[1:])))


# --- reading ---------------------------------------------------------------------------------------


def read(path: Path) -> SegmentMap:
    """Read a map.

    Raises:
        UsageError: it cannot be read, or makes no sense.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the map of segments {path}: {error}",
            fix="bayesseg segments RUN --names-out FILE writes one to start from",
        ) from error
    return parse(text, source=str(path))


def parse(text: str, *, source: str = "segments.toml") -> SegmentMap:
    """Check the text of a map; every refusal names ``source``, the line and the key."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is not valid TOML: {error}") from error
    reader = Reader(source, text)
    reader.keys(raw, "", ("schema", "segments", "merge", "split"))
    if reader.get(raw, "", "schema", int) != SCHEMA:
        raise reader.error("schema", f"must be {SCHEMA}")
    own = reader.get(raw, "", "segments", dict) if "segments" in raw else {}
    tables = {
        key: reader.get(raw, "", key, list) if key in raw else [] for key in ("merge", "split")
    }
    found = SegmentMap(
        {name: _entry(reader, item, f"segments.{name}", name) for name, item in own.items()},
        tuple(_merge(reader, item, f"merge[{i}]") for i, item in enumerate(tables["merge"])),
        tuple(_split(reader, item, f"split[{i}]") for i, item in enumerate(tables["split"])),
        source,
    )
    _refuse_overlaps(reader, found)
    return found


def _entry(reader: Reader, raw: Any, path: str, name: str) -> Entry:
    if not isinstance(raw, dict):
        raise reader.error(path, f'must be a table: [segments.{name}] with label = "..."')
    texts = ("label", "label_fr", "action", "action_fr")
    reader.keys(raw, path, (*texts, "pin", "lock"))
    given: dict[str, Any] = {
        key: _text(reader, raw, path, key, _LONGEST[key.removesuffix("_fr")])
        for key in texts
        if key in raw
    }
    given |= {key: reader.get(raw, path, key, bool) for key in ("pin", "lock") if key in raw}
    if given.get("pin") and not _MODEL_ID.fullmatch(name):
        raise reader.error(
            f"{path}.pin",
            "is for a segment of the model, which rules may rename",
            "give a label: that of a merged or split segment stays by itself",
        )
    return Entry(**given)


def _text(reader: Reader, raw: Mapping[str, Any], path: str, key: str, longest: int) -> str:
    text = str(reader.get(raw, path, key, str)).strip()
    if not text or len(text) > longest or any(category(letter)[0] == "C" for letter in text):
        raise reader.error(
            f"{path}.{key}",
            f"must have 1 to {longest} characters, none of them invisible",
            "leave the key out to let the rules say it",
        )
    return text


def _merge(reader: Reader, raw: Any, path: str) -> tuple[str, ...]:
    if not isinstance(raw, dict):
        raise reader.error(path, 'must be a table: [[merge]] with of = ["S2", "S3"]')
    reader.keys(raw, path, ("of",))
    own = reader.get(raw, path, "of", list)
    if not all(isinstance(one, str) and _MODEL_ID.fullmatch(one) for one in own):
        raise reader.error(f"{path}.of", f"must be ids of the model's segments, not {own}")
    if len(own) < 2 or len(set(own)) < len(own):
        raise reader.error(f"{path}.of", "must name two different segments or more")
    return tuple(own)


def _split(reader: Reader, raw: Any, path: str) -> Split:
    if not isinstance(raw, dict):
        raise reader.error(path, 'must be a table: [[split]] with of = "S4"')
    reader.keys(raw, path, ("of", "column", *_RULES))
    given = [rule for rule in _RULES if rule in raw]
    if len(given) != 1:
        raise reader.error(path, f"must give one rule of {', '.join(_RULES)}, not {len(given)}")
    rule, column = given[0], reader.get(raw, path, "column", str)
    value: float | tuple[str, ...]
    if rule == "is":
        levels = reader.get(raw, path, rule, list)
        if not levels or not all(isinstance(level, str) for level in levels):
            raise reader.error(f"{path}.is", "must be a list of texts, the levels that count")
        value = tuple(levels)
    else:
        value = float(reader.get(raw, path, rule, (int, float)))
        if not np.isfinite(value):
            raise reader.error(f"{path}.{rule}", f"must be a number, not {value}")
    if column == OWN and not (rule != "is" and isinstance(value, float) and 0 < value < 1):
        raise reader.error(
            path, f"splits by {OWN}: give above or below a probability inside 0 to 1"
        )
    return Split(reader.get(raw, path, "of", str), column, rule, value)


def _refuse_overlaps(reader: Reader, found: SegmentMap) -> None:
    """No segment in two merges, none split twice, no two of one label."""
    taken: dict[str, int] = {}
    for i, group in enumerate(found.merges):
        for one in group:
            if one in taken:
                raise reader.error(
                    f"merge[{i}].of", f"names {one}, which is merged already", "one merge a segment"
                )
            taken[one] = i
    ways = [split.of for split in found.splits]
    for i, one in enumerate(ways):
        if one in ways[:i]:
            raise reader.error(
                f"split[{i}].of", f"splits {one} again", f"split a part of it: {one}a or {one}b"
            )
    for key in ("label", "label_fr"):
        called: dict[str, str] = {}
        for name, entry in found.entries.items():
            label = getattr(entry, key)
            if label and label.casefold() in called:
                raise reader.error(
                    f"segments.{name}.{key}",
                    f"is {label!r}, as is that of {called[label.casefold()]}",
                    "give each segment a label of its own, or merge them",
                )
            called[label.casefold()] = name


def to_json(own: SegmentMap) -> dict[str, Any]:
    """What a manifest keeps of a map."""
    return {
        "segments": {name: asdict(entry) for name, entry in own.entries.items()},
        "merge": [list(group) for group in own.merges],
        "split": [asdict(split) for split in own.splits],
    }


def from_json(raw: Mapping[str, Any] | None) -> SegmentMap:
    """The inverse of ``to_json``; an empty map where there is none."""
    if raw is None:
        return SegmentMap()
    return SegmentMap(
        {name: Entry(**entry) for name, entry in raw["segments"].items()},
        tuple(tuple(group) for group in raw["merge"]),
        tuple(
            Split(
                **one
                | {"value": tuple(one["value"]) if one["rule"] == "is" else float(one["value"])}
            )
            for one in raw["split"]
        ),
    )


# --- against a run ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """How memberships of the model's segments become those that are shown.

    ``groups`` holds the columns of the model that each group sums, ``splits`` the place, among those
    that stand at its turn, of what each split divides; ``ids`` those shown, in order, ``standing``
    those and all that were merged or split on the way.
    """

    groups: tuple[tuple[int, ...], ...]
    splits: tuple[tuple[int, Split], ...]
    ids: tuple[str, ...]
    standing: tuple[str, ...]

    @property
    def plain(self) -> bool:
        """Whether every segment is shown as the model has it."""
        return not self.splits and all(len(group) == 1 for group in self.groups)


def plan(own: SegmentMap, ids: Sequence[str]) -> Plan:
    """Lay a map over the segments ``ids`` of a model; merged ones stand where their first stood.

    Raises:
        UsageError: it names a segment that is not there.
    """
    group_of = {one: group for group in own.merges for one in group}
    for one in group_of:
        _known(own, one, ids, "merges")
    shown: list[str] = []
    groups: list[tuple[int, ...]] = []
    for k, one in enumerate(ids):
        group = group_of.get(one)
        if group is None:
            shown.append(one)
            groups.append((k,))
        elif all(ids.index(other) >= k for other in group):
            shown.append(merged(group))
            groups.append(tuple(k for k, other in enumerate(ids) if other in group))
    standing, splits = [*ids, *shown], []
    for split in own.splits:
        _known(own, split.of, shown, "splits")
        at = shown.index(split.of)
        splits.append((at, split))
        shown[at : at + 1] = [f"{split.of}a", f"{split.of}b"]
        standing += shown[at : at + 2]
    for one in own.entries:
        _known(own, one, standing, "names")
    return Plan(tuple(groups), tuple(splits), tuple(shown), tuple(dict.fromkeys(standing)))


def _known(own: SegmentMap, one: str, ids: Sequence[str], does: str) -> None:
    if one not in ids:
        raise UsageError(
            f"{own.source} {does} {one}, which is not there",
            fix=f"{nearest(one, ids)}segments are: {', '.join(dict.fromkeys(ids))}",
        )


def carried(own: SegmentMap, ids: Sequence[str]) -> tuple[SegmentMap, tuple[str, ...]]:
    """What of a map still holds where the segments are ``ids``, and in words what does not."""
    said: list[str] = []
    merges: list[tuple[str, ...]] = []
    renamed: dict[str, str] = {}
    for group in own.merges:
        left = tuple(one for one in group if one in ids)
        if len(left) < len(group):
            gone = " and ".join(one for one in group if one not in ids)
            what = f"is now {merged(left)}" if len(left) > 1 else "is dissolved"
            said.append(f"the merge {merged(group)} {what}: there is no {gone}")
        if len(left) > 1:
            merges.append(left)
            renamed[merged(group)] = merged(left)
    kept = replace(own, entries={}, merges=tuple(merges), splits=())
    for split in own.splits:
        moved = replace(split, of=renamed.get(split.of, split.of))
        if moved.of in plan(kept, ids).ids:
            kept = replace(kept, splits=(*kept.splits, moved))
        else:
            said.append(f"the split of {split.of} is dropped: there is no {split.of}")
    standing = plan(kept, ids).standing
    entries = {renamed.get(name, name): entry for name, entry in own.entries.items()}
    entries = {name: entry for name, entry in entries.items() if name in standing}
    return replace(kept, entries=entries), tuple(said)


def divide(
    own: Plan, member: Array, columns: Callable[[], Mapping[str, npt.NDArray[Any]]]
) -> Array:
    """Memberships (n, S, K) of the model as (n, S, K') of the segments shown, draw by draw.

    Each row still sums to what it did; a row depends on itself alone.
    """
    if own.plain:
        return member
    # not a matrix product: BLAS would let the size of the batch into the last bit
    pieces = [sum(member[..., k] for k in group) for group in own.groups]
    known = columns() if own.splits else {}
    for at, split in own.splits:
        whole = np.asarray(pieces[at])
        holds = fulfils(split, known, np.ascontiguousarray(whole).mean(axis=1))[:, None]
        pieces[at : at + 1] = [np.where(holds, whole, 0.0), np.where(holds, 0.0, whole)]
    return np.stack(pieces, axis=-1)


def fulfils(
    split: Split, columns: Mapping[str, npt.NDArray[Any]], membership: Array
) -> npt.NDArray[np.bool_]:
    """Which customers belong to the first part, (n,); an unknown value is in the second.

    Raises:
        UsageError: the data have no such column, or one of the other kind.
    """
    values = membership if split.column == OWN else columns.get(split.column)
    says = f"the map of segments splits {split.of} by {split.column}"
    if values is None:
        names = [*columns, OWN]
        raise UsageError(
            f"{says}, which the data do not have",
            fix=f"{nearest(split.column, names)}columns are: {', '.join(names)}",
        )
    if (values.dtype.kind == "O") != (split.rule == "is"):
        kind = "text" if values.dtype.kind == "O" else "a number"
        wants = 'is = ["..."]' if kind == "text" else "above or below a number"
        raise UsageError(f"{says}, which is {kind}", fix=f"give {wants}")
    if isinstance(split.value, tuple):
        return np.isin(values, np.array(split.value, dtype=object))
    return np.asarray(values > split.value if split.rule == "above" else values < split.value)


# --- names -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """A segment as people meet it; ``of`` are the model's, ``rule`` that of a split."""

    id: str
    name: str
    name_fr: str
    action: str
    action_fr: str
    of: tuple[str, ...]
    rule: str = ""


def shown(found: Mapping[str, Any]) -> tuple[Shown, ...]:
    """The segments that the manifest entry ``found`` shows, in order: its names under its map.

    A name that rules gave gives way to the same as somebody's label.
    """
    own, named = from_json(found.get("map")), _named(found)
    taken = {of.name for of, _ in _doubles(own, named)}
    return tuple(
        replace(one, name=f"{one.name} ({one.id})", name_fr=f"{one.name_fr} ({one.id})")
        if one.name in taken and not own.entry(one.id).label
        else one
        for one in named
    )


def refuse_doubles(own: SegmentMap, found: Mapping[str, Any]) -> None:
    """Refuse a label that another segment of the manifest entry ``found`` has from its run.

    Raises:
        UsageError: with both segments and what to do.
    """
    for other, one in _doubles(own, _named({**found, "map": to_json(own)})):
        raise UsageError(
            f"{own.source} calls {one.id} {one.name!r}, which is what {other.id} is called",
            fix=f"give {other.id} a label of its own too, or {one.id} another one, or merge them",
        )


def _doubles(own: SegmentMap, named: Sequence[Shown]) -> list[tuple[Shown, Shown]]:
    """Segments without a label beside those whose label is their name, in either language."""
    return [
        (other, one)
        for other in named
        for one in named
        if other is not one
        and not own.entry(other.id).label
        and own.entry(one.id).label
        and (_same(one.name, other.name) or _same(one.name_fr, other.name_fr))
    ]


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _named(found: Mapping[str, Any]) -> list[Shown]:
    """The segments shown under the names of run and map, which may be the same for two."""
    own = from_json(found.get("map"))
    laid = plan(own, found["ids"])
    texts = found.get("texts", {})
    hints = {
        text.get(key, "")
        for text in texts.values()
        if "rule" in text and not text["rule"]
        for key in ("action", "action_fr")
    }
    at: dict[str, Shown] = {}
    for one in found["ids"]:
        name, text = found["names"][one], texts.get(one, {})
        plain = Shown(one, name, text.get("name_fr", name), "", "", (one,))
        plain = replace(plain, action=text.get("action", ""), action_fr=text.get("action_fr", ""))
        at[one] = _called(plain, own.entry(one), hints)
    for group in own.merges:
        members = [at[one] for one in sorted(group, key=found["ids"].index)]
        at[merged(group)] = _called(_together(members), own.entry(merged(group)), hints)
    for split in own.splits:
        for part in _apart(at[split.of], split):
            at[part.id] = _called(part, own.entry(part.id), hints)
    return [at[name] for name in laid.ids]


def labels(found: Mapping[str, Any]) -> dict[str, str]:
    """What the model's own segments are called, by id: an expert's label, else the run's name."""
    own = from_json(found.get("map"))
    return {one: own.entry(one).label or name for one, name in found["names"].items()}


def _called(one: Shown, entry: Entry, hints: Container[str]) -> Shown:
    """The segment under what an expert calls it; a label answers the ``hints`` to look for a name."""
    if entry.label not in ("", one.name):
        entry = replace(
            entry,
            action="" if entry.action in hints else entry.action,
            action_fr="" if entry.action_fr in hints else entry.action_fr,
        )
        one = replace(
            one,
            action="" if one.action in hints else one.action,
            action_fr="" if one.action_fr in hints else one.action_fr,
        )

    def french(own: str, english: str, before: str, usual: str) -> str:
        return own or (usual if english in ("", before) else english)

    return replace(
        one,
        name=entry.label or one.name,
        name_fr=french(entry.label_fr, entry.label, one.name, one.name_fr),
        action=entry.action or one.action,
        action_fr=french(entry.action_fr, entry.action, one.action, one.action_fr),
    )


def _together(members: Sequence[Shown]) -> Shown:
    def joined(key: str, by: str) -> str:
        said = list(dict.fromkeys(text for one in members if (text := getattr(one, key))))
        more = {head.strip() for head, colon, _ in (t.partition(":") for t in said) if colon}
        return by.join(text for text in said if text not in more)

    return Shown(
        merged(one.id for one in members),
        joined("name", " + "),
        joined("name_fr", " + "),
        joined("action", "; "),
        joined("action_fr", " ; "),
        tuple(one.id for one in members),
    )


def _apart(one: Shown, split: Split) -> tuple[Shown, Shown]:
    also = f"{one.rule} and " if one.rule else ""
    return (
        replace(
            one,
            id=f"{one.id}a",
            name=f"{one.name}, {split.words()}",
            name_fr=f"{one.name_fr}, {split.words(1)}",
            rule=f"{also}{split.words()}",
        ),
        replace(
            one,
            id=f"{one.id}b",
            name=f"{one.name}, others",
            name_fr=f"{one.name_fr}, autres",
            rule=f"{also}not {split.words()}",
        ),
    )
