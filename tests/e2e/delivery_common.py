"""What the scripts about delivery share."""
import tempfile

from harness import images
from harness.clients import storescu

SEG = "1.2.840.10008.5.1.4.1.1.66.4"


def peer(port, **keys):
    """Settings of a [peer pacs] to which results are delivered, again soon where it fails. Who is not to be given up is
    waited for: a peer that is given up on a busy machine gets its objects twice."""
    settings = {"ae_title": "PACS", "address": f"127.0.0.1:{port}", "deliver": "results", "retry_delay": "100ms",
                "timeout": "2m", **keys}
    return {"dicom.accept": "known", "peer tester.ae_title": "TESTER",
            **{f"peer pacs.{key}": value for key, value in settings.items() if value is not None}}


def analyse(d):
    """Sends a small study and has it analysed at once; the SOP instance UIDs of the result's objects, sorted."""
    source = images.series(slices=8)
    study = source[0].StudyInstanceUID
    status, said = storescu(d, images.save(source, tempfile.mkdtemp()))
    assert status == 0, said
    assert d.analyze(study).status == 202
    d.wait_for_study(study)
    results = d.results(study)
    return study, sorted(o["sop_uid"] for r in results for o in r["objects"])
