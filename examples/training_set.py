"""The labels of a project as a data set in three parts, equal and near-equal texts in one.

python examples/training_set.py PROJECT FILE
"""

import sys
from pathlib import Path

import prelabel

manifest = prelabel.export_labels(int(sys.argv[1]), Path(sys.argv[2]), split="0.8/0.1/0.1")
sys.stdout.write(f"{manifest.rows} rows, {manifest.parts}, labels {manifest.labels}\n")
