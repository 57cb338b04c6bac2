"""The rules and the configuration as promtool reads them: every kind of fault that /health names has a rule."""

import json
import subprocess
from pathlib import Path

import pytest

from backend.health.faults import KINDS
from tests.prometheus import MONITORING, program

RISES, FALLS = "0x4 1x30", "1x4 0x30"  # a figure that rises, or falls, after four minutes
CASES = {  # kind of a fault -> the rule that tells of it, a figure and how it goes
    "queue": ("PrelabelQueueStands", "prelabel_queue_up", FALLS),
    "workers": ("PrelabelQueueStands", 'prelabel_workers{queue="live"}', FALLS),
    "cron": ("PrelabelCronSilent", 'prelabel_degraded{kind="cron"}', RISES),
    "jobs": ("PrelabelJobGivenUp", 'prelabel_degraded{kind="jobs"}', RISES),
    "database": ("PrelabelNotReady", "prelabel_ready", FALLS),
    "version": ("PrelabelModelMissing", 'prelabel_degraded{kind="version"}', RISES),
    "model": ("PrelabelModelMissing", 'prelabel_degraded{kind="model"}', RISES),
    "disk": ("PrelabelDiskNearlyFull", 'prelabel_degraded{kind="disk"}', RISES),
    "reconcile": ("PrelabelReconcileLate", "prelabel_last_reconcile_timestamp_seconds", "0x34"),
    "calibration": ("PrelabelPromiseUnkept", "prelabel_band_under_promise", RISES),
}


def unit_test(alert: str, series: str, values: str) -> dict[str, object]:
    """As promtool takes it: nothing is told of at first, and later the rule alone."""
    firing = f'count by (alertname) (ALERTS{{alertname="{alert}", alertstate="firing"}})'
    sample = {"labels": f'{{alertname="{alert}"}}', "value": 1}
    return {
        "rule_files": ["alerts.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": series, "values": values}],
                "promql_expr_test": [
                    {"expr": "count(ALERTS)", "eval_time": "3m", "exp_samples": []},
                    {"expr": firing, "eval_time": "20m", "exp_samples": [sample]},
                ],
            }
        ],
    }


def test_the_rules_are_what_prometheus_takes() -> None:
    done = subprocess.run(
        [program("promtool"), "check", "rules", str(MONITORING / "alerts.yml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "11 rules found" in done.stdout


def test_every_kind_of_fault_has_a_rule() -> None:
    assert set(CASES) == set(KINDS)


@pytest.mark.parametrize("kind", CASES)
def test_a_fault_raises_an_alert_once_it_has_lasted(kind: str, tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text((MONITORING / "alerts.yml").read_text())
    (tmp_path / "test.yml").write_text(json.dumps(unit_test(*CASES[kind])))  # which is YAML too
    done = subprocess.run(
        [program("promtool"), "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
