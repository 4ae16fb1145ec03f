"""Take the pictures of the documents from the report of a run.

    python benchmarks/pictures.py data/demo/run [--out docs/images]

Opens RUN/report.html in a headless Chromium and writes parts of it as JPEG: the top, the retrieved examples, the maps
with a clip pointed at, and the whole of it on a phone in the dark.
"""

import argparse
import base64
import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from PIL import Image

from tests.support.browser import Page, chromium

WIDTH = 1100
QUALITY = 82


def take(page: Page, path: Path, top: str, bottom: str, most: float) -> None:
    """Write what lies between the tops of two elements, at most so many pixels of it."""
    place = "(name => document.querySelector(name).getBoundingClientRect().top + scrollY)"
    start, stop = page.run(f"{place}({top!r})") - 24, page.run(f"{place}({bottom!r})") - 40
    clip = {"x": 0, "y": start, "width": WIDTH, "height": min(most, stop - start), "scale": 1}
    write(path, page.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"])


def write(path: Path, data: str) -> None:
    """Write a PNG in base64 as JPEG."""
    Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB").save(path, quality=QUALITY, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run with report.html")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), metavar="DIR")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as browser:
        page = browser.page()
        page.size(WIDTH, 900)
        page.dark(False)
        page.open((arguments.run / "report.html").resolve().as_uri())
        take(page, arguments.out / "report.jpg", "header", ".pair.details", 2000)
        take(page, arguments.out / "report-examples.jpg", ".direction:nth-of-type(3)", ".direction:nth-of-type(4)", 900)
        page.size(WIDTH, 720)
        page.run("document.querySelector('#embeddings').scrollIntoView()")
        x, y = page.run("screenPlace(document.querySelector('.map'), Math.floor(points.items.length / 3))")
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        page.wait("!document.querySelector('.tip').hidden")
        write(arguments.out / "report-maps.jpg", page.call("Page.captureScreenshot", format="png")["data"])
        phone = browser.page()
        phone.size(390, 844)
        phone.dark(True)
        phone.open((arguments.run / "report.html").resolve().as_uri())
        write(arguments.out / "report-phone.jpg", phone.call("Page.captureScreenshot", format="png")["data"])


if __name__ == "__main__":
    main()
