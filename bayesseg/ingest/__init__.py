"""From purchase files and frames to clean rows, each accounted for. L2."""

from bayesseg.ingest.attributes import read_table
from bayesseg.ingest.columns import asked
from bayesseg.ingest.findings import CATALOGUE, finding, many
from bayesseg.ingest.objections import Objections, read_objections
from bayesseg.ingest.options import Options
from bayesseg.ingest.pseudonyms import Key, pseudonyms, read_key
from bayesseg.ingest.purchases import Purchases, examine, read_purchases
from bayesseg.ingest.refusals import collected, together
from bayesseg.ingest.schema import schema
from bayesseg.ingest.shares import shares
from bayesseg.ingest.source import Frame, Source

__all__ = [
    "CATALOGUE",
    "Frame",
    "Key",
    "Objections",
    "Options",
    "Purchases",
    "Source",
    "asked",
    "collected",
    "examine",
    "finding",
    "many",
    "pseudonyms",
    "read_key",
    "read_objections",
    "read_purchases",
    "read_table",
    "schema",
    "shares",
    "together",
]
