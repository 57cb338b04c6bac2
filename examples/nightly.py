"""For cron: what lies in a file comes in, and every open task of the connected project has a prediction.

python examples/nightly.py PROJECT FILE
"""

import argparse
import sys
from pathlib import Path

import prelabel

arguments = argparse.ArgumentParser()
arguments.add_argument("project", type=int, help="its number in Label Studio")
arguments.add_argument("file", type=Path)
asked = arguments.parse_args()

options = prelabel.ImportOptions(rejects=asked.file.with_name("rejects.csv"))
done = prelabel.import_texts(asked.file, project=asked.project, options=options)
left = prelabel.push_predictions(asked.project)
sys.stdout.write(f"{done.new} new, {done.rejected} rejected; {left.n_lacking} tasks lack a prediction\n")
