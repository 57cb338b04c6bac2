"""The rules and the configuration as promtool reads them, and those that no test can make true for real."""

import json
import subprocess
from pathlib import Path

from tests.prometheus import MONITORING, program

DISK = {
    "rule_files": ["alerts.yml"],
    "evaluation_interval": "1m",
    "tests": [
        {
            "interval": "1m",
            "input_series": [
                {"series": 'prelabel_degraded{kind="disk"}', "values": "0x4 1x20"},
            ],
            "alert_rule_test": [
                {"eval_time": "3m", "alertname": "PrelabelDiskNearlyFull"},
                {
                    "eval_time": "15m",
                    "alertname": "PrelabelDiskNearlyFull",
                    "exp_alerts": [
                        {
                            "exp_labels": {"kind": "disk", "severity": "warning"},
                            "exp_annotations": {"summary": "The disk that holds prelabel's state is nearly full."},
                        }
                    ],
                },
            ],
        }
    ],
}


def test_the_rules_are_what_prometheus_takes() -> None:
    done = subprocess.run(
        [program("promtool"), "check", "rules", str(MONITORING / "alerts.yml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "9 rules found" in done.stdout


def test_a_disk_that_fills_raises_an_alert_after_five_minutes(tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text((MONITORING / "alerts.yml").read_text())
    (tmp_path / "disk.yml").write_text(json.dumps(DISK))  # which is YAML too
    done = subprocess.run(
        [program("promtool"), "test", "rules", "disk.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
