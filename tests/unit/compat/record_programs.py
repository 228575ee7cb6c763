"""What the programs give, as JSON: ``python tests/unit/compat/record_programs.py stable_baselines3``.

So was ``sb3_programs.json`` written, with version 2.9.2.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compat import sb3_more_programs, sb3_programs

ALL = (*sb3_programs.PROGRAMS, *sb3_more_programs.PROGRAMS)

if __name__ == "__main__":
    found = {}
    for program in ALL:
        with tempfile.TemporaryDirectory() as name:
            found[program.__name__] = program(sb3_programs.Library(sys.argv[1]), Path(name))
    print(json.dumps(found, indent=1, default=float))
