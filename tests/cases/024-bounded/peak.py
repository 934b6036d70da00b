import resource
import subprocess
import sys

code = subprocess.run(sys.argv[1:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # kB, but bytes on macOS
peak /= 1024 if sys.platform == "darwin" else 1
print(f"peak {peak:.0f} MB", file=sys.stderr)
sys.exit(code or peak > 2048)
