#!/usr/bin/python3
"""OHIF, served by the daemon, opens a real MR study with Lamina's segmentation over it (make ohif first)."""
import io
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import chromium  # noqa: E402
import harness  # noqa: E402
from harness import images  # noqa: E402
from harness.clients import curl, stow  # noqa: E402
from harness.daemon import BUILD, Daemon, wait_until  # noqa: E402

import numpy  # noqa: E402
import PIL.Image  # noqa: E402
import pydicom  # noqa: E402

OHIF = os.path.join(BUILD, "ohif")
# A timer of the viewer's own that comes late on a slow machine, to the viewport that the segmentation took the place of.
REPLACED = "The stack viewport has been destroyed"


def page(d, path):
    harness.need(chromium.program(), "chromium is not installed")
    harness.need(os.path.exists(os.path.join(OHIF, "index.html")), "OHIF is not here: make ohif")
    return chromium.Page(d.url + path)


def send_study(d):
    """A real study, each object by STOW-RS. Gives its UID."""
    study = None
    for path in images.files_below(harness.shared("data", "dicom", "mr-study-a")):
        with open(path, "rb") as file:
            content = file.read()
        if stow(d, [content]).status == 200:
            study = pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID
    return study


def analyse(d, study):
    """Has the model run on all of it, by name; waits for the SEG."""
    curl(f"{d.url}/api/v1/studies/{study}/analyze?model=hippocampus", "-X", "POST")
    wait_until(lambda: curl(f"{d.url}/api/v1/studies/{study}").json["state"] in ("done", "failed", "no_model"), 120,
               "the study to be analysed")
    found = curl(f"{d.url}/api/v1/studies/{study}/results").json["results"]
    return [result for result in found if result["model"]["name"] == "hippocampus"]


def entry(modality):
    """The entry of a series without pictures in the list at the left."""
    return ("[...document.querySelectorAll('[data-cy=study-browser-thumbnail-no-image]')]"
            f".find((element) => element.innerText.startsWith('{modality}'))")


def pause(seconds):
    return f"new Promise((resolve) => setTimeout(resolve, {1000 * seconds}))"


def press(p, label):
    """Presses the button of that name, if there is one."""
    p.js(f"[...document.querySelectorAll('button')].find((b) => b.innerText.trim() === '{label}')?.click()")


def coloured(path):
    """Pixels of the image that are not grey: those of the segmentation."""
    pixels = numpy.asarray(PIL.Image.open(path).convert("RGB")).astype(int)[120:780, 560:1080]
    return int((pixels.max(axis=2) - pixels.min(axis=2) > 40).sum())


def test_files_of_the_viewer(d):
    harness.need(os.path.exists(os.path.join(OHIF, "index.html")), "OHIF is not here: make ohif")
    for path, kind in (("/ohif", "text/html"), ("/ohif/viewer", "text/html"), ("/ohif/app-config.js", "text/javascript")):
        answer = curl(d.url + path)
        assert answer.status == 200 and answer.headers["content-type"].startswith(kind), (path, answer)
    for path in ("/ohif/..%2findex.html", "/ohif/%2e%2e/%2e%2e/etc/passwd.txt", "/ohif/no.js", "/ohif/.hidden.js"):
        assert curl(d.url + path, "--path-as-is").status in (400, 404), path


def check_rendered_segmentation(d, study, results):
    """The SEG as a rendered resource is drawn over its image, in colour."""
    seg = next(o for result in results for o in result["objects"] if o["type"] == "SEG")
    url = f"{d.url}/dicom-web/studies/{study}/series/{seg['series_uid']}/instances/{seg['sop_uid']}/rendered"
    answer = curl(url + "?viewport=512,512", headers={"Accept": "image/png"})
    assert answer.status == 200, answer
    with open(os.path.join(BUILD, "seg.png"), "wb") as file:
        file.write(answer.body)
    pixels = numpy.asarray(PIL.Image.open(io.BytesIO(answer.body)).convert("RGB")).astype(int)
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    assert (spread > 40).sum() > 200 and ((spread == 0) & (pixels[..., 0] > 8)).sum() > 1000, "no colour, or no image"


def test_a_study_with_its_segmentation(d):
    study = send_study(d)
    results = analyse(d, study)
    check_rendered_segmentation(d, study, results)
    with page(d, "/") as p:
        p.js("localStorage.setItem('shownTours', '[\"basicViewerTour\"]')")
        p.send("Page.navigate", url=f"{d.url}/ohif/viewer?StudyInstanceUIDs={study}")
        p.until("document.querySelectorAll('canvas').length > 0", 60)
        p.until(f"{entry('SEG')}", 60)
        p.until("document.querySelectorAll('[data-cy=study-browser-thumbnail] img').length >= 5", 60)
        p.js(f"{entry('SEG')}.dispatchEvent(new MouseEvent('dblclick', {{bubbles: true}}))")
        p.until("document.body.innerText.includes('Hippocampus')", 60)
        p.js(pause(8))
        press(p, "Yes")
        press(p, "Confirm")
        p.js(pause(8))
        for _ in range(8):  # to where there is more of it
            p.send("Input.dispatchMouseEvent", type="mouseWheel", x=800, y=450, deltaX=0, deltaY=100)
            p.js(pause(0.3))
        p.js(pause(1))
        p.screenshot(os.path.join(BUILD, "ohif.png"))
        print("# " + " | ".join(p.text().split("\n"))[:400])
        errors = [error for error in p.errors if REPLACED not in str(error)]
        assert not errors, errors
        assert len(results) == 1, results
        assert coloured(os.path.join(BUILD, "ohif.png")) > 500


def reports_opened(p, words):
    """Opens the series whose entry has these words; gives what is drawn over its image, as the names of SVG elements."""
    entries = "[...document.querySelectorAll('[data-cy=study-browser-thumbnail-no-image]')]"
    condition = " && ".join(f"e.innerText.includes({word!r})" for word in words)
    p.js(f"{entries}.find((e) => {condition}).dispatchEvent(new MouseEvent('dblclick', {{bubbles: true}}))")
    drawn = "[...document.querySelectorAll('svg.svg-layer *')].map((e) => e.tagName)"
    try:
        p.until(f"{drawn}.some((tag) => ['polyline', 'path', 'line'].includes(tag))", 40)
    except AssertionError:
        pass
    return set(p.js(drawn))


def test_reports_are_drawn_on_their_images():
    """Boxes of a detection and, in the profile for OHIF, the outlines of a segmentation, each on the slice they are of."""
    harness.need(os.path.exists(os.path.join(OHIF, "index.html")), "OHIF is not here: make ohif")
    viewer = {"peer viewer.ae_title": "VIEWER", "peer viewer.address": "127.0.0.1:9", "peer viewer.deliver": "results",
              "peer viewer.profile": "ohif"}
    with Daemon({"http.ohif_dir": OHIF, **viewer}) as d:
        study = send_study(d)
        curl(f"{d.url}/api/v1/studies/{study}/analyze", "-X", "POST")
        wait_until(lambda: len([o for r in curl(f"{d.url}/api/v1/studies/{study}/results").json["results"]
                                for o in r["objects"] if o["type"] == "SR" and o["profile"] == "ohif"]) == 2, 120, "reports")
        with page(d, "/") as p:
            p.js("localStorage.setItem('shownTours', '[\"basicViewerTour\"]')")
            p.send("Page.navigate", url=f"{d.url}/ohif/viewer?StudyInstanceUIDs={study}")
            p.until(f"{entry('SR')}", 60)
            p.until("document.querySelectorAll('[data-cy=study-browser-thumbnail] img').length >= 5", 60)
            for name, words in (("boxes", ("SR", "Brain tumour", "(ohif)")), ("volumes", ("SR", "Hippocampus", "(ohif)"))):
                drawn = reports_opened(p, words)
                p.screenshot(os.path.join(BUILD, f"ohif-{name}.png"))
                print(f"# {name}: {sorted(drawn)}")
                assert {"polyline", "path", "line"} & drawn, (name, p.text()[-400:])
                assert coloured(os.path.join(BUILD, f"ohif-{name}.png")) > 100, name
                press(p, "No")
            assert not p.errors, p.errors


if __name__ == "__main__":
    harness.run(globals(), Daemon({"http.ohif_dir": OHIF}))
