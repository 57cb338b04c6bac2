"""The labels of a project as a data set in three parts, equal and near-equal texts in one.

python examples/training_set.py PROJECT FILE
"""

import argparse
import sys
from pathlib import Path

import prelabel

arguments = argparse.ArgumentParser()
arguments.add_argument("project", type=int, help="its number in Label Studio")
arguments.add_argument("file", type=Path)
asked = arguments.parse_args()

manifest = prelabel.export_labels(asked.project, asked.file, split="0.8/0.1/0.1")
sys.stdout.write(f"{manifest.rows} rows, {manifest.parts}, labels {manifest.labels}\n")
