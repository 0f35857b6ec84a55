"""The batch script with stand-ins for Slurm and the programs: who is started with what, and whose status is the job's."""

import os
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "slurm" / "train.sbatch"

# Writes its arguments down, then its address, then does what the test says; it ends with 0 on SIGTERM.
COORDINATOR = r"""#!/bin/bash
echo "coordinator $*" >> calls
trap 'echo "coordinator got TERM" >> calls; exit 0' TERM
while (($#)); do [[ $1 == --address-file ]] && address_file=$2; shift; done
case $BEHAVIOUR in
  refuse) echo "no such key" >&2; exit 2 ;;
  *) echo "10.0.0.1:4242" > "$address_file.tmp"; mv "$address_file.tmp" "$address_file" ;;
esac
until [[ -e launched ]]; do sleep 0.01; done
case $BEHAVIOUR in
  fail) exit 1 ;;
  finish) exit 0 ;;
  wait) echo ready > waiting; while true; do sleep 0.01; done ;;
esac
"""
SRUN = '#!/bin/bash\necho "srun $*" >> calls\ntouch launched\n'


class SlurmTest(unittest.TestCase):
    def start(self, behaviour, *arguments):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        programs = self.folder / "bin"
        programs.mkdir()
        for name, text in (("evenkeel-coordinator", COORDINATOR), ("evenkeel", "#!/bin/bash\n"), ("srun", SRUN)):
            (programs / name).write_text(text, encoding="utf-8")
            (programs / name).chmod(0o755)
        environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "BEHAVIOUR": behaviour,
            "COORDINATOR_HOST": "10.0.0.1",
            "SLURM_JOB_ID": "77",
            "SLURM_JOB_NUM_NODES": "3",
            "SLURM_GPUS_ON_NODE": "8",
        }
        return subprocess.Popen(
            ["bash", str(SCRIPT), *arguments], cwd=self.folder, env=environment, stderr=subprocess.PIPE, text=True
        )

    def finish(self, job):
        _, stderr = job.communicate(timeout=30)
        calls = self.folder / "calls"
        return job.returncode, calls.read_text(encoding="utf-8") if calls.exists() else "", stderr

    def test_all_nodes_are_told_where_the_coordinator_listens(self):
        status, calls, _ = self.finish(self.start("finish", "run.toml", "--set", "train.epochs=2"))
        self.assertEqual(status, 0)
        self.assertIn("--config run.toml --set train.epochs=2 --set cluster.workers=24 --listen 10.0.0.1:0", calls)
        self.assertIn("launch --coordinator 10.0.0.1:4242 --workers 8", calls)
        self.assertEqual([path.name for path in self.folder.iterdir() if path.name.startswith(".evenkeel")], [])

    def test_a_failed_run_is_a_failed_job(self):
        self.assertEqual(self.finish(self.start("fail", "run.toml"))[0], 1)

    def test_a_refused_configuration_ends_the_job_at_once(self):
        status, calls, stderr = self.finish(self.start("refuse", "run.toml"))
        self.assertEqual(status, 2)
        self.assertIn("no such key", stderr)
        self.assertNotIn("srun", calls)

    def test_the_signal_before_the_time_limit_reaches_the_coordinator(self):
        job = self.start("wait", "run.toml")
        while not (self.folder / "waiting").exists():
            self.assertIsNone(job.poll())
        job.send_signal(signal.SIGTERM)
        status, calls, _ = self.finish(job)
        self.assertEqual(status, 0)
        self.assertIn("coordinator got TERM", calls)

    def test_without_a_configuration_it_says_how_it_is_used(self):
        status, _, stderr = self.finish(self.start("finish"))
        self.assertEqual(status, 2)
        self.assertIn("usage", stderr)


if __name__ == "__main__":
    unittest.main()
