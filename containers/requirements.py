"""What pyproject.toml asks for, one line each, so that it is installed before the code, which changes more often.

python containers/requirements.py             the dependencies
python containers/requirements.py EXTRA...    those of extras alone
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
wanted = [line for name in sys.argv[1:] for line in extras[name]] or project["dependencies"]
sys.stdout.write("".join(f"{line}\n" for line in wanted))
