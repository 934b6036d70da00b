"""What a score takes over from the fit, and how flags are typed again."""

from bayesseg.cli.flags import FitFlags, ScoreFlags, SourceFlags, argv, command_line
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps import fitting
from bayesseg.cli.steps.reading import as_fitted
from bayesseg.ingest import read_purchases

LOG = "who;when;qty;unit;no\n" + "".join(
    f"c{i % 5};{i % 28 + 1:02}.01.2024;2;1,50;o{i}\n" for i in range(60)
)
GIVEN = SourceFlags(
    customer_id="who",
    date="when",
    amount="qty * unit",
    order_id="no",
    dedupe=True,
    drop_missing_id=True,
    refunds="drop",
    max_bad=0.2,
    date_format="%d.%m.%Y",
    encoding="cp1252",
    tz="Europe/Paris",
    id_trim=True,
    id_normalize="NFC",
    currency="none",
    currency_symbol="€",
    accounting_negatives=True,
    min_date="1970-01-01",
)


def test_what_was_given_at_the_fit_is_used_again(tmp_path, capsys):
    """Through the provenance that a run stores, with nothing given at the score."""
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    with read_purchases(path, GIVEN.options()) as purchases:
        manifest = {"accounting": purchases.provenance}
    assert as_fitted(SourceFlags(), manifest, Shell()) == GIVEN
    assert "--amount 'qty * unit'" in capsys.readouterr().err


def test_what_is_given_now_wins(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    with read_purchases(path, GIVEN.options()) as purchases:
        manifest = {"accounting": purchases.provenance}
    now = as_fitted(SourceFlags(customer_id="client", refunds="net"), manifest, Shell())
    assert (now.customer_id, now.refunds, now.date) == ("client", "net", "when")


def test_guesses_are_guessed_again(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("client;date;montant\n" + "".join(f"a{i};2024-01-02;5\n" for i in range(9)))
    with read_purchases(path) as purchases:
        manifest = {"accounting": purchases.provenance}
    assert as_fitted(SourceFlags(), manifest, Shell()) == SourceFlags()


def test_flags_are_typed_again_only_where_they_differ():
    assert argv(SourceFlags(), FitFlags(), ScoreFlags()) == []
    words = argv(SourceFlags(amount="qty * unit", dedupe=True), ScoreFlags(horizon="12w"))
    assert words == ["--amount", "qty * unit", "--dedupe", "--horizon", "12w"]
    assert command_line("check", *words[:2]) == "bayesseg check --amount 'qty * unit'"


def test_a_fit_says_that_another_segmentation_fits_nearly_as_well():
    def rivals(*below):
        one = {"agreement_with_best": 0.67}
        return fitting._rivals(
            {"modes": {"segmentations": [one | {"nats_below_best": b} for b in below]}}
        )

    assert rivals(0.0, 10.3, 11.0) == [
        "another segmentation lies 10.3 nats below this one and agrees with it at 0.67 (Rand): see the "
        "report"
    ]
    assert rivals(0.0, 21.0) == rivals(0.0) == fitting._rivals({}) == []


def test_the_time_of_a_fit_leaves_out_what_took_none():
    assert fitting._spent(3.0, {"sampling": 0.0, "gates": 0.9, "segments": 1.7}) == (
        "fitted in 3.0 s: segments 1.7, gates 0.9"
    )
    assert fitting._spent(0.01, {"sampling": 0.0}) == "fitted in 0.0 s"
