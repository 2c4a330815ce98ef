"""The table: what freshness costs and takes, each row with its bar."""

from tests.bench.fresh import drain, growing, live, on_server, replays, start
from tests.bench.fresh.row import Against, Bar, Row

SETTLE_AND_TWO_TICKS = 10 + 2 * growing.EVERY_SECONDS
NOTHING_LEFT = 100

# fmt: off
ROWS: tuple[Row, ...] = (
    Row("ceiling", "throughput of the default settings: what one tick gets through",
        (Bar("of the backlog in one tick", "%", NOTHING_LEFT, is_least=True),),
        drain.ceiling),
    Row("saturation", "1,000 entries/s of a hospital's mix for 5 minutes, FHIR at 300 ms: age of the oldest entry not synced",
        (Bar("p95", "s", 10), Bar("last minute : second", "", 1)),
        live.saturation),
    Row("backlog", "a backlog of 50,000 entries of a hospital's mix, FHIR at 0 ms",
        (Bar("drained", "s", 12, against=Against.SCALED, before=251), Bar("a new study", "s", 15)),
        drain.backlog(0)),
    Row("backlog-100", "the same, FHIR at 100 ms",
        (Bar("drained", "s", 12, against=Against.SCALED, before=251), Bar("a new study", "s", 15)),
        drain.backlog(100)),
    Row("slow-fhir", "one-instance studies, FHIR at 1 s",
        (Bar("entries", "/s", 500, is_least=True, before=100),),
        drain.slow_fhir),
    Row("fresh", "from STOW's answer to readable in FHIR, default schedule, 1 study/s",
        (Bar("p50", "s", 1.5), Bar("p95", "s", 3)),
        live.fresh(), at_once=True),
    Row("fresh-holes", "the same with one hole in the sequence per 20 s",
        (Bar("p50", "s", 3), Bar("p95", "s")),
        live.fresh(holes=True), at_once=True),
    Row("fresh-v2", "the same, feed v2",
        (Bar("p50", "s", 3), Bar("p95", "s")),
        live.fresh(version="v2"), at_once=True),
    Row("scanner", "a CT of 2,000 slices in two minutes at a 2 s schedule: versions of its ImagingStudy",
        (Bar("versions", "", 15),),
        live.scanner, at_once=True),
    Row("growing", "40,000 instances of a study in 200 batches of 200, one every 2 s of a clock that is set",
        (Bar("MB to FHIR", "MB", 80), Bar("the last instance", "s", SETTLE_AND_TWO_TICKS)),
        growing.growing, at_once=True),
    Row("invalid-tag", "one-instance studies that all carry PatientSex `X`",
        (Bar("entries", "/s", 10, is_least=True, against=Against.TIMES), Bar("table requests", "")),
        drain.invalid_tag),
    Row("replay-unchanged", "replay of 2,000 unchanged studies at 100 ms",
        (Bar("whole", "s"), Bar("whole : reads alone", "", 1.3)),
        replays.unchanged),
    Row("replay-errors", "replay of 2,000 stored errors",
        (Bar("whole", "s", 8, against=Against.SCALED, before=112), Bar("table requests", "", 100)),
        replays.errors),
    Row("replay-open-rows", "replay of stored errors with 100,000 open rows",
        (Bar("whole", "min", 10, against=Against.SCALED, before=300), Bar("live feed", "s", 5)),
        replays.among_open_rows),
    Row("ct-server", "CT on the local FHIR server",
        (Bar("app : the longer alone", "", 1.25),),
        on_server.ct),
    Row("cr-server", "one-instance studies on the local FHIR server",
        (Bar("the longer alone : app", "", 0.95, is_least=True),),
        on_server.cr),
    Row("cold-start", "`import function_app` in a fresh process",
        (Bar("CPU", "s", 0.6, against=Against.TIMES), Bar("memory", "MB", 10, is_least=True, against=Against.LESS)),
        start.cold_start),
)
# fmt: on
