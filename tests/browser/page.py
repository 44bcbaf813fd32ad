#!/usr/bin/python3
"""The web page in headless Chromium against a real daemon: what a person sees, and what it must not do."""
import base64
import json
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import chromium  # noqa: E402
import harness  # noqa: E402
from harness import images  # noqa: E402
from harness.clients import stow  # noqa: E402
from harness.daemon import BUILD, Daemon, wait_until  # noqa: E402


def page(d, path=""):
    harness.need(chromium.program(), "chromium is not installed")
    return chromium.Page(d.url + "/" + path)


def send(d, slices=2, **attributes):
    datasets = images.series(slices=slices, **attributes)
    assert stow(d, [images.to_bytes(ds) for ds in datasets]).status == 200
    return datasets[0]


def test_an_empty_server_says_what_to_do(d):
    with page(d) as p:
        p.until("document.body.innerText.includes('No studies yet')")
        p.until(f"document.body.innerText.includes('LAMINA@127.0.0.1:{d.dicom_port}')")
        assert "Research software, not a medical device." in p.text()
        assert not p.errors, p.errors


def test_an_address_that_makes_no_sense_is_answered(d):
    """As it comes from a message that cut it"""
    with page(d, "#/studies/1.2%E0%A4") as p:
        p.until("document.querySelector('#nav a') && document.getElementById('main').innerText.trim()")
        p.js("location.hash = '#/models'")
        p.until("document.querySelector('#nav a[aria-current]')?.innerText == 'Models'")
        assert not any("URIError" in error for error in p.errors), p.errors


def test_a_study_appears_by_itself(d):
    with page(d) as p:
        p.until("document.body.innerText.includes('No studies yet')")
        send(d, SeriesDescription="T2")
        p.until("document.querySelector('.card')?.innerText.includes('Virtual, Patient')")
        p.until("document.querySelector('article')?.innerText.includes('no model')")


BEYOND = "[...document.querySelectorAll('.card')].some((card) => card.scrollWidth > card.clientWidth || %s)"


def test_a_long_name_stays_in_its_card(d):
    """A study that nothing is known of but its UID, at the narrowest window and a wide one"""
    send(d, PatientName="Nothing^Else", StudyInstanceUID="1.2." + "3" * 60, StudyDescription=None, StudyDate=None)
    with page(d, "#/studies?search=Nothing") as p:
        for width in (360, 1600):
            p.look_like("light", width)
            p.until("document.querySelector('.card').innerText.includes('1.2.333')")
            assert not p.js(BEYOND % "card.getBoundingClientRect().right > document.querySelector('.list').getBoundingClientRect().right"), width
            assert p.js("document.documentElement.scrollWidth <= innerWidth"), width


ASKED = "performance.getEntriesByType('resource').filter((entry) => entry.name.endsWith('/readyz')).length"


def is_settled(d):
    return not {study["state"] for study in d.get("/api/v1/studies").json["studies"]} - {"done", "failed", "no_model"}


def asks_nothing(p):
    """For so long that a page that polls would have asked."""
    before = p.js(ASKED)
    p.js("new Promise((resolve) => setTimeout(resolve, 6000))")
    return p.js(ASKED) == before


def test_changes_are_followed_and_not_polled(d):
    wait_until(lambda: is_settled(d), 15, "the studies that were sent before")
    with page(d) as p:
        p.until("document.querySelector('.card')")
        wait_until(lambda: asks_nothing(p), 15, "the page to ask no more when nothing changes")
        send(d, SeriesDescription="T2", PatientName="Followed^Fred")
        p.until("document.body.innerText.includes('Followed, Fred')")
        assert not p.errors, p.errors


def test_without_events_it_asks_again():
    """Where all the places of followers are taken"""
    with Daemon() as other:
        followers = [socket.create_connection(("127.0.0.1", other.http_port)) for _ in range(64)]
        for one in followers:
            one.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert one.recv(16).startswith(b"HTTP/1.1 200")
        with page(other) as p:
            p.until("document.body.innerText.includes('No studies yet')")
            send(other, SeriesDescription="T2", PatientName="Asked^Again")
            p.until("document.body.innerText.includes('Asked, Again')")
        for one in followers:
            one.close()


def test_the_keyboard_suffices(d):
    """WCAG 2.1.1, 2.4.1, 2.4.7: from the top to a study and into its pictures, and always seen where one is"""
    ds = send(d, slices=3, PatientName="Keyboard^Kim", SeriesDescription="T2")
    with page(d, "#/studies?search=Keyboard") as p:
        p.until("document.querySelectorAll('.card').length === 1 && document.querySelector('.thumbnail:not([hidden]) img')?.naturalWidth > 0")
        reached = []
        for _ in range(40):
            p.press("Tab")
            reached.append(p.js("(document.activeElement.className || document.activeElement.tagName).toString()"))
            assert p.js("document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== 'none'"), reached
            if reached[-1] == "thumbnail":
                break
        assert reached[0] == "skip" and "card" in reached and reached[-1] == "thumbnail", reached
        p.press("Enter")
        p.until("document.querySelector('.viewer img')?.naturalWidth > 0 && document.activeElement.type === 'range'")
        at = p.js("document.querySelector('.viewer output').innerText")
        p.press("ArrowRight")
        p.until(f"document.querySelector('.viewer output').innerText !== {json.dumps(at)}")
        p.press("Escape")
        p.until("!document.querySelector('.viewer') && document.activeElement.classList.contains('thumbnail')")
        assert ds.StudyInstanceUID in p.text() and not p.errors, p.errors


def test_studies_are_found_by_name(d):
    send(d, SeriesDescription="T2", PatientName="Wanted^Wanda", PatientID="W-17")
    type_in = ("(() => { const field = document.querySelector('input[type=search]'); field.value = %s;"
               "field.form.requestSubmit(); })()")
    with page(d) as p:
        p.until("document.querySelectorAll('.card').length > 1")
        for words in ("wanda", "W-17"):
            p.js(type_in % json.dumps(words))
            p.until("document.querySelectorAll('.card').length === 1 && document.querySelector('.card').innerText.includes('Wanted')")
        p.js(type_in % json.dumps("nobody"))
        p.until("document.body.innerText.includes('No study of such a patient')")
        assert not p.errors, p.errors


def test_deliveries_say_what_there_is_to_configure(d):
    with page(d, "#/deliveries") as p:
        p.until("document.querySelector('h1')?.innerText === 'Deliveries'")
        p.until("document.body.innerText.includes('No destination is configured')")
        assert not p.errors, p.errors


def order(d, label, state="SCHEDULED"):
    """A workitem for another station."""
    text = {"00404005": "20300105103000", "00404041": "READY", "00741000": "SCHEDULED", "00741200": "HIGH", "00741204": label}
    ds = {tag: {"vr": "LO", "Value": [value]} for tag, value in text.items()}
    ds["00100010"] = {"vr": "PN", "Value": [{"Alphabetic": "Ordered^Olga"}]}
    ds["00404025"] = {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["OTHER"]}}]}
    kind = {"Content-Type": "application/dicom+json"}
    answer = d.post("/dicom-web/workitems", json.dumps([ds]).encode(), kind)
    assert answer.status == 201, answer
    if state == "CANCELED":
        assert d.post(f"/dicom-web/workitems/{answer.headers['location'].rsplit('/', 1)[1]}/cancelrequest").status == 202


def test_the_worklist(d):
    with page(d, "#/worklist") as p:
        p.until("document.body.innerText.includes('No workitem here')")
        order(d, "<i>Liver</i>, please")
        p.until("document.querySelector('article')?.innerText.includes('<i>Liver</i>, please')")
        row = p.js("document.querySelector('tbody tr').innerText")
        assert all(word in row for word in ("scheduled", "Ordered, Olga", "OTHER", "2030-01-05 10:30", "high")), row
        order(d, "Spleen", "CANCELED")
        p.until("document.querySelectorAll('tbody tr').length === 2")
        p.js("location.hash = '#/worklist?state=CANCELED'")
        p.until("document.querySelectorAll('tbody tr').length === 1")
        assert "cancelled by request" in p.text(), p.text()
        p.js("location.hash = '#/worklist?state=IN PROGRESS'")
        p.until("document.body.innerText.includes('No workitem here')")
        assert not p.errors, p.errors


def test_names_are_text_and_not_markup(d):
    ds = send(d, SeriesDescription="<img src=x onerror=document.title='owned'>", PatientName="<b>Bold</b>^Bob")
    with page(d, f"#/studies/{ds.StudyInstanceUID}") as p:
        p.until("document.querySelector('article')?.innerText.includes('<img src=x')")
        assert "<b>Bold</b>, Bob" in p.text(), p.text()
        assert p.js("document.title") != "owned" and not p.js("document.querySelector('main b')")


def test_nothing_inline_runs(d):
    with page(d) as p:
        p.until("document.querySelector('.card')")
        assert p.js("(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
                    "document.body.append(s); return window.ran === undefined; })()")


def test_what_is_focused_stays_focused(d):
    """The page looks again at every change; a person who works with the keyboard must not notice."""
    with page(d, "#/models") as p:
        p.until("document.querySelector('table')")
        p.js("window.drawn = document.querySelector('table'); document.querySelector('main a').focus()")
        looked = p.js(ASKED)
        send(d, SeriesDescription="T2")
        p.until(f"{ASKED} > {looked}")
        assert p.js("window.drawn === document.querySelector('table') && document.activeElement.matches('main a')")


def test_files_can_be_dropped(d):
    content = images.to_bytes(images.series(slices=1, SeriesDescription="T2", PatientName="Dropped^File")[0])
    drop = ("(() => { const bytes = Uint8Array.from(atob(%s), (c) => c.charCodeAt(0)); const files = new DataTransfer();"
            "files.items.add(new File([bytes], 'image.dcm')); files.items.add(new File(['text'], 'readme.txt'));"
            "dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true })); })()")
    with page(d) as p:
        p.until("document.querySelector('.card')")
        p.js(drop % json.dumps(base64.b64encode(content).decode()))
        p.until("['1 file stored', '1 file refused'].every((words) => document.getElementById('messages').innerText.includes(words))")
        p.until("[...document.querySelectorAll('.card')].some((card) => card.innerText.includes('Dropped, File'))")


def test_results_are_shown(d):
    ds = send(d, slices=36, PatientName="Analysed^Patient")
    with page(d, f"#/studies/{ds.StudyInstanceUID}") as p:
        p.until("document.querySelector('.finding')", 60)
        assert "Volume, ml" in p.text(), p.text()
        p.until("document.querySelector('figure img')?.naturalWidth > 0")
        p.js("document.querySelector('figure button').click()")
        assert p.js("document.getElementById('picture').open")
        p.screenshot(os.path.join(BUILD, "page.png"))
        assert not p.errors, p.errors


def test_slices_with_the_segmentation(d):
    ds = send(d, slices=36, PatientName="Viewed^Patient")
    with page(d, f"#/studies/{ds.StudyInstanceUID}") as p:
        p.until("document.querySelector('.finding')", 60)
        p.until("document.querySelector('.thumbnail img')?.naturalWidth > 0")
        p.js("document.querySelector('.thumbnail').click()")
        p.until("document.querySelector('.viewer img')?.naturalWidth > 0")
        with_overlay = p.js("document.querySelector('.viewer img').src")
        p.screenshot(os.path.join(BUILD, "viewer.png"))
        p.js("document.querySelector('.viewer [type=checkbox]').click()")
        p.until(f"document.querySelector('.viewer img').src !== {json.dumps(with_overlay)}")
        p.js("const s = document.querySelector('.viewer [type=range]'); s.valueAsNumber = 3; s.dispatchEvent(new Event('input'))")
        p.until("document.querySelector('.viewer output').innerText === '3 of 36'")
        assert not p.errors, p.errors


if __name__ == "__main__":
    harness.run(globals(), Daemon())
