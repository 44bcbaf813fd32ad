"""Modules from npm for the tests of clients; kept in the build folder."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import harness  # noqa: E402
from harness.daemon import BUILD  # noqa: E402


def modules(*wanted):
    """The folder that holds these ("name@version"), fetched where they are missing and there is a network. Each choice has
    a folder of its own: what one module brings along must not replace another's version."""
    folder = os.path.join(BUILD, "clients", "+".join(wanted).replace("/", "_"))
    found = os.path.join(folder, "node_modules")
    if all(os.path.isdir(os.path.join(found, module.rsplit("@", 1)[0])) for module in wanted):
        return found
    os.makedirs(folder, exist_ok=True)
    try:
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, *wanted], check=True, timeout=180,
                       capture_output=True)
    except (OSError, subprocess.SubprocessError) as err:
        raise harness.Skip(f"{' '.join(wanted)} cannot be fetched from npm") from err
    return found
