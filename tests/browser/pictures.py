#!/usr/bin/python3
"""The pictures that the web page keeps: each is fetched once, and a viewer that is looked through for a day does not hold
them all."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import chromium  # noqa: E402
import harness  # noqa: E402
from harness.daemon import Daemon  # noqa: E402

# What the page holds of the first picture, of one that is looked at again and again, and of the last, after many.
LOOK = """(async () => {
  const { picture } = await import("/ui/client.js");
  const at = (n) => picture(`ui/icon.svg?n=${n}`);
  const alive = (url) => new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve(true);
    image.onerror = () => resolve(false);
    image.src = url;
  });
  const [first, favourite] = [await at("first"), await at("favourite")];
  for (let n = 0; n < 600; n++) { await at(n); if (await at("favourite") !== favourite) return "fetched twice"; }
  await new Promise((resolve) => setTimeout(resolve));
  return [await alive(first), await alive(favourite), await alive(await at(599))].join(" ");
})()"""


def test_old_pictures_are_let_go(d):
    harness.need(chromium.program(), "chromium is not installed")
    with chromium.Page(d.url + "/") as p:
        assert p.js(LOOK) == "false true true"


if __name__ == "__main__":
    harness.run(globals(), Daemon())
