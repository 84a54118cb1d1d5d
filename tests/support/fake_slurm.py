"""Programs in the place of SLURM's: sbatch runs a script's tasks at once, in processes of this machine."""

import os
import sys
from pathlib import Path

SBATCH = r"""#!{python}
import os, re, subprocess, sys
from pathlib import Path
script = Path(sys.argv[1]).read_text()
folder = Path({folder!r})
number = 1 + len(list(folder.glob("script*")))
(folder / f"script{{number}}.sh").write_text(script)
array = re.search(r"--array=0-(\d+)", script)
for task in range(int(array[1]) + 1) if array else [None]:
    name = f"{{number}}" if task is None else f"{{number}}_{{task}}"
    environment = dict(os.environ, SLURM_JOB_ID=str(number), SLURM_PROCID="0", SLURM_NTASKS="1", SLURM_JOB_NAME="explainer")
    if task is not None:
        environment |= {{"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task)}}
    process = subprocess.Popen(["bash", sys.argv[1]], env=environment, start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (folder / f"job{{name}}").write_text(str(process.pid))
print(f"Submitted batch job {{number}}")
"""
# the command after srun's own options, each of which has a value but the first
SRUN = """#!/bin/bash
shift
while [[ $1 == --* ]]; do shift 2; done
exec "$@"
"""
SACCT = r"""#!{python}
from pathlib import Path
print("JobID|State|NodeList")
for path in Path({folder!r}).glob("job*"):
    try:
        state = Path(f"/proc/{{path.read_text()}}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        state = "Z"
    print(f"{{path.name[3:]}}|{{'FAILED' if state == 'Z' else 'RUNNING'}}|here")
"""
SCANCEL = r"""#!{python}
import os, signal, sys
from pathlib import Path
for name in sys.argv[1:]:
    try:
        os.killpg(int((Path({folder!r}) / f"job{{name}}").read_text()), signal.SIGTERM)
    except OSError:
        pass
"""


def install(folder):
    """Write the programs into a folder, and return the PATH under which they are found; they note jobs beside them."""
    folder = Path(folder)
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT), ("scancel", SCANCEL)):
        path = folder / name
        path.write_text(text if name == "srun" else text.format(python=sys.executable, folder=str(folder)))
        path.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
