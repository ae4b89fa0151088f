"""How long an atlas takes to open: seconds until its units and its plot are painted, each time in a new Chromium.

python benchmarks/opening.py results/vgg16/atlas.html [--times 7]

Nothing is attached to the browser while it opens: under a debugger, which Playwright's pages are too, Plotly takes half
as long again, since each error that it catches is traced through its source.
"""

import argparse
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, BrowserType, sync_playwright

SETTLED = 10
"""Seconds after which a page is asked what it took."""
MARKS = ("units shown", "plot shown")
"""User timings of the page, as unitscope/atlas/web/main.js sets them."""
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")


def main() -> None:
    """Open an atlas a few times and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("atlas", type=Path)
    parser.add_argument("--times", type=int, default=7)
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        openings = [opening(playwright.chromium, arguments.atlas) for _ in range(arguments.times)]
    print(f"{arguments.atlas}, {arguments.atlas.stat().st_size / 1e6:.1f} MB, seconds of {arguments.times} openings")
    for mark, seconds in zip(MARKS, zip(*openings, strict=True), strict=True):
        print(f"{mark}: median {statistics.median(seconds):.1f}, {min(seconds):.1f} to {max(seconds):.1f}")


def opening(chromium: BrowserType, atlas: Path) -> list[float]:
    """Return the seconds from the start of the navigation to each of `MARKS`."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        raise SystemExit("No Chromium is installed: on Debian, apt-get install chromium.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        port = free_port()
        options = [f"--remote-debugging-port={port}", f"--user-data-dir={profile}", "--window-size=1320,1010"]
        command = [program, "--headless=new", *QUIET, *options, atlas.resolve().as_uri()]
        browser = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            time.sleep(SETTLED)
            attached = chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
            return marks(attached)
        finally:
            browser.terminate()
            browser.wait()


def marks(browser: Browser) -> list[float]:
    """Return `MARKS` of the one page of a browser, in seconds.

    Raises:
        SystemExit: The page has not set them yet.
    """
    page = next(page for context in browser.contexts for page in context.pages if page.url.startswith("file:"))
    page_marks = page.evaluate("performance.getEntriesByType('mark').map((one) => [one.name, one.startTime / 1000])")
    if missing := set(MARKS) - set(dict(page_marks)):
        raise SystemExit(f"After {SETTLED} seconds the page has not said: {', '.join(sorted(missing))}.")
    return [dict(page_marks)[name] for name in MARKS]


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
