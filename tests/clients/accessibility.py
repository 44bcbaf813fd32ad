#!/usr/bin/python3
"""The web page against WCAG 2.1 A and AA by axe-core (from npm), in every view, light and dark, wide and narrow. Leaves screenshots
in the build folder for people to look at."""
import os
import sys

from npm import BUILD, harness, modules
from harness import images
from harness.clients import stow
from harness.daemon import Daemon

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "browser"))
import chromium  # noqa: E402

AXE = "axe-core@4.10.2"
RUN = ("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}).then((found) => found.violations.flatMap("
       "(rule) => rule.nodes.map((node) => `${rule.id}: ${node.target} ${node.failureSummary}`)))")
WIDTHS = {"wide": 1400, "narrow": 390}
known = {}


def test_set_up(d):
    harness.need(chromium.program(), "chromium is not installed")
    with open(os.path.join(modules(AXE), "axe-core", "axe.min.js"), encoding="utf-8") as file:
        known["axe"] = file.read()
    ds = images.series(slices=36, PatientName="Analysed^Patient")
    assert stow(d, [images.to_bytes(one) for one in ds]).status == 200
    refused = images.series(slices=1)
    assert stow(d, [images.to_bytes(one) for one in refused]).status == 200
    d.wait_for_study(ds[0].StudyInstanceUID)
    d.wait_for_study(refused[0].StudyInstanceUID, ("failed", "no_model"))
    known["study"] = ds[0].StudyInstanceUID
    known["job"] = d.get("/api/v1/jobs").json["jobs"][0]["job"]


def views():
    return {"study": (f"#/studies/{known['study']}", ".finding"), "nothing-found": ("#/studies?search=nobody", ".empty"), "jobs": ("#/jobs", "table"),
            "job": (f"#/jobs/{known['job']}", "table"), "deliveries": ("#/deliveries", "h1"), "models": ("#/models", "table"),
            "model": ("#/models/hippocampus", "pre"), "system": ("#/system", ".tile")}


def violations(page, where):
    page.js(known["axe"])
    return [f"{where}: {what}" for what in page.js(RUN)]


def settle(found):
    assert not found, "\n".join(found)


def test_every_view(d):
    harness.need("axe" in known, "nothing to check with")
    found = []
    for name, (place, sign) in views().items():
        with chromium.Page(d.url + "/" + place) as page:
            for scheme in ("dark", "light"):
                for size, width in WIDTHS.items():
                    page.look_like(scheme, width)
                    page.until(f"document.querySelector('{sign}') && [...document.images].every((image) => image.complete)")
                    page.screenshot(os.path.join(BUILD, f"page-{name}-{scheme}-{size}.png"))
                    found += violations(page, f"{name}, {scheme}, {size}")
                    wide = page.js("document.documentElement.scrollWidth")
                    found += [f"{name}, {size}: {wide} pixels wide (WCAG 1.4.10)"] if wide > width else []
    settle(found)


def test_dialogs(d):
    harness.need("axe" in known, "nothing to check with")
    found = []
    with chromium.Page(f"{d.url}/#/studies/{known['study']}") as page:
        page.until("document.querySelector('.thumbnail:not([hidden]) img')?.naturalWidth > 0")
        for scheme in ("dark", "light"):
            page.look_like(scheme, WIDTHS["wide"])
            page.js("document.querySelector('.thumbnail').click()")
            page.until("document.querySelector('.viewer img')?.naturalWidth > 0")
            page.screenshot(os.path.join(BUILD, f"page-viewer-{scheme}.png"))
            found += violations(page, f"viewer, {scheme}")
            page.press("Escape")
            page.js("document.getElementById('sign-in').showModal()")
            found += violations(page, f"sign-in, {scheme}")
            page.press("Escape")
    settle(found)


harness.run(globals(), Daemon())
