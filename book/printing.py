"""Print an HTML page to PDF with Chromium, without a network."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from mmssl.ledger import atomic

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser() -> str:
    """Return the path of a Chromium.

    Raises
    ------
    FileNotFoundError
        Where there is none, saying what was looked for.
    """
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    raise FileNotFoundError(
        "a PDF is printed by Chromium, and none of "
        f"{', '.join(BROWSERS)} is on the PATH; install one (Debian: "
        "apt-get install chromium)"
    )


def print_pdf(page: Path, pdf: Path, milliseconds: int = 30_000) -> None:
    """Print an HTML file, its scripts (equations) run.

    Parameters
    ----------
    page : Path
        Page with what it needs beside it.
    pdf : Path
        Written in one piece or not at all.
    milliseconds : int
        Time that the page's scripts are given, in its own clock.

    Raises
    ------
    FileNotFoundError
        Without a Chromium.
    RuntimeError
        When Chromium leaves no PDF, with the last lines of what it said.
    """
    command = [browser(), "--headless", "--disable-gpu", "--no-sandbox"]
    command += ["--no-pdf-header-footer", "--disable-background-networking"]
    # a page may load what lies beside it, and nothing else
    command += ["--host-resolver-rules=MAP * ~NOTFOUND"]
    command += ["--allow-file-access-from-files"]
    command.append(f"--virtual-time-budget={milliseconds}")
    pdf.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as profile,
        atomic.file(pdf) as temporary,
    ):
        command += [f"--user-data-dir={profile}"]
        command += [f"--print-to-pdf={temporary}", page.resolve().as_uri()]
        done = subprocess.run(command, capture_output=True, text=True)
        written = temporary.is_file() and temporary.read_bytes()[:5]
        if done.returncode or written != b"%PDF-":
            said = " ".join(done.stderr.splitlines()[-3:])
            raise RuntimeError(f"{page.name}: Chromium left no PDF ({said})")
