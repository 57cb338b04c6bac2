"""For cron: what lies in a file comes in, and every open task of the connected project has a prediction.

python examples/nightly.py PROJECT FILE
"""

import sys
from pathlib import Path

import prelabel

project, path = int(sys.argv[1]), Path(sys.argv[2])
options = prelabel.ImportOptions(rejects=path.with_name("rejects.csv"))
done = prelabel.import_texts(path, project=project, options=options)
left = prelabel.push_predictions(project)
sys.stdout.write(f"{done.new} new, {done.rejected} rejected; {left.n_lacking} tasks lack a prediction\n")
