#!/usr/bin/python3
"""What a peer may do to a delivery, each with a real peer or a small faulty one of our own: nothing is lost, nothing is
sent twice to a peer that confirmed, a failure is never called success."""
import tempfile

import harness
from delivery_common import SEG, analyse, peer
from harness import images
from harness.clients import run, storescu
from harness.daemon import Daemon, free_port, wait_until
from harness.faulty import ACTION, COMMITMENT, Caller, FaultyScp, elements, items, report_data, uid_text
from harness.peers import StoreScp, deliveries, never, wait_for


def once_each(scp, uids):
    assert sorted(scp.confirmed) == uids, (scp.confirmed, uids)


def test_out_of_resources_is_tried_again():
    with FaultyScp(plan=[0xA700, 0xA700]) as scp, Daemon(peer(scp.port)) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        once_each(scp, uids)
        assert len(scp.tried) == len(uids) + 2, scp.tried


def test_a_warning_is_recorded_and_is_success():
    with FaultyScp(plan=[0xB000]) as scp, Daemon(peer(scp.port)) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        once_each(scp, uids)
        warned = [v for v in deliveries(d) if v["warning"]]
        assert len(warned) == 1 and "B000" in warned[0]["warning"] and warned[0]["answer"] == 0xB000, warned


def test_a_refused_object_fails_and_the_others_arrive():
    with FaultyScp(plan=[0xC000]) as scp, Daemon(peer(scp.port)) as d:
        _, uids = analyse(d)
        failed = wait_for(d, "failed", 1)
        wait_for(d, "delivered", len(uids) - 1)
        assert "C000" in failed[0]["last_error"], failed
        assert failed[0]["sop_uid"] not in scp.confirmed


def test_a_refused_abstract_syntax_fails_with_its_reason():
    with FaultyScp(refuses=[SEG]) as scp, Daemon(peer(scp.port)) as d:
        _, uids = analyse(d)
        failed = wait_for(d, "failed", 1)
        wait_for(d, "delivered", len(uids) - 1)
        assert failed[0]["sop_class_uid"] == SEG and SEG in failed[0]["last_error"], failed
        scp.refuses.clear()
        assert d.post(f"/api/v1/deliveries/{failed[0]['delivery']}/retry").status == 202
        wait_for(d, "delivered", len(uids))
        once_each(scp, uids)


def test_an_association_that_drops_in_the_middle():
    with FaultyScp(plan=[0, "drop"]) as scp, Daemon(peer(scp.port)) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        once_each(scp, uids)
        assert scp.associations >= 2
        assert scp.tried.count(scp.confirmed[0]) == 1, "sent again although it was confirmed"


def test_a_peer_that_does_not_answer():
    with FaultyScp(plan=["silent"]) as scp, Daemon(peer(scp.port, timeout="5s")) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        once_each(scp, uids)


def test_a_peer_that_is_slow_is_waited_for():
    """Each answer takes a fifth of the time that it may take; together they take longer than that."""
    with FaultyScp(plan=["slow"] * 6) as scp, Daemon(peer(scp.port, timeout="5s", secondary_captures="yes",
                                                          presentation_states="yes", key_objects="yes",
                                                          parametric_maps="yes")) as d:
        analyse(d)
        sent = wait_for(d, "delivered", 6)
        once_each(scp, sorted(v["sop_uid"] for v in sent))
        assert scp.associations == 1 and all(v["attempts"] == 1 for v in sent), sent


def test_a_peer_that_rejects_the_association():
    with StoreScp("--refuse") as scp, Daemon(peer(scp.port)) as d:
        _, uids = analyse(d)

        def all_rejected():
            tried = [v for v in deliveries(d) if "reject" in (v["last_error"] or "")]
            return len(tried) == len(uids) and tried
        assert {v["state"] for v in wait_until(all_rejected, 30, "the peer to reject each")} <= {"queued", "sending"}


def test_a_storescp_that_aborts_after_receiving():
    """It has the bytes and never says so: the next one gets them."""
    port = free_port()
    with Daemon(peer(port)) as d:
        with StoreScp("--abort-after", port=port) as scp:
            _, uids = analyse(d)
            wait_until(lambda: all(v["last_error"] for v in deliveries(d)), 10, "an attempt for each object")
            assert not deliveries(d, state="delivered"), "called delivered without an answer"
        with StoreScp(port=port) as scp:
            wait_for(d, "delivered", len(uids))
            assert scp.uids() == uids and scp.stores() == len(uids)


# ---- Storage Commitment, as user ----

def committed(**keys):
    """A peer that is too slow to report over the association on which it was asked is asked again after this time."""
    return {"commitment": "yes", "commitment_timeout": "2s", **keys}


def test_an_object_is_delivered_when_it_is_committed():
    with FaultyScp(commits=["yes"]) as scp, Daemon(peer(scp.port, **committed())) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        once_each(scp, uids)
        assert {uid for asked in scp.asked for uid in asked} == set(uids), scp.asked


def test_what_a_peer_forgot_is_sent_again():
    with FaultyScp(commits=["no"] * 100) as scp, Daemon(peer(scp.port, **committed())) as d:
        _, uids = analyse(d)
        wait_until(lambda: all(scp.confirmed.count(uid) > 1 for uid in uids), 20, "each to be sent again")
        assert not deliveries(d, state="delivered"), "called delivered though the peer has it not"
        scp.commits.clear()
        wait_for(d, "delivered", len(uids))
        assert set(scp.confirmed) == set(uids), (scp.confirmed, uids)


def test_a_commitment_over_an_association_of_the_peers():
    port = free_port()
    with Daemon(peer(port, **committed(commitment_timeout="1h"))) as d:
        node = ("127.0.0.1", d.dicom_port, "LAMINA", "PACS")
        with FaultyScp(commits=["other"] * 8, port=port, node=node) as scp:
            _, uids = analyse(d)
            wait_for(d, "delivered", len(uids))
            once_each(scp, uids)


def test_a_peer_that_never_commits_is_asked_again_and_not_sent_to():
    with FaultyScp(commits=["never"] * 100) as scp, Daemon(peer(scp.port, **committed())) as d:
        _, uids = analyse(d)
        wait_for(d, "sent", len(uids))
        wait_until(lambda: len(scp.asked) >= 2, 20, "to be asked again")
        scp.commits[:] = ["refuse", "yes", "yes"]
        wait_for(d, "delivered", len(uids))
        once_each(scp, uids)
        assert len(scp.asked) >= 4, scp.asked


# ---- Storage Commitment, as provider ----

def stored_study(d):
    source = images.series(slices=3)
    status, said = storescu(d, images.save(source, tempfile.mkdtemp()))
    assert status == 0, said
    return [(s.SOPClassUID, s.SOPInstanceUID) for s in source]


def ask(caller, transaction, instances):
    response, _ = caller.exchange({0x00000003: COMMITMENT, 0x00000100: ACTION, 0x00000110: 5,
                                   0x00001001: "1.2.840.10008.1.20.1.1", 0x00001008: 1},
                                  report_data(transaction, instances, True))
    assert int.from_bytes(response[0x00000900], "little") == 0, response


def test_we_commit_ourselves_to_what_is_stored_over_the_same_association():
    settings = {"dicom.accept": "known", "peer tester.ae_title": "TESTER"}
    with Daemon(settings) as d:
        instances = stored_study(d)
        missing = ("1.2.840.10008.5.1.4.1.1.4", "1.2.3.4.5.6.7")
        caller = Caller(("127.0.0.1", d.dicom_port, "LAMINA"), "TESTER")
        ask(caller, "1.2.3.1", instances + [missing])
        event, data = caller.receive()
        document = elements(data)
        assert int.from_bytes(event[0x00001002], "little") == 2, event
        assert uid_text(document[0x00081195]) == "1.2.3.1"
        assert [uid_text(i[0x00081155]) for i in items(document[0x00081199])] == [uid for _, uid in instances]
        failed = items(document[0x00081198])
        assert [uid_text(i[0x00081155]) for i in failed] == [missing[1]]
        assert int.from_bytes(failed[0][0x00081197], "little") == 0x0112
        caller.release()


def test_we_report_over_another_association_when_the_first_is_gone():
    with FaultyScp() as scp, Daemon({"dicom.accept": "known", "peer tester.ae_title": "TESTER",
                                     "peer tester.address": f"127.0.0.1:{scp.port}"}) as d:
        reports = []
        scp_data = scp_events(scp, reports)
        instances = stored_study(d)
        caller = Caller(("127.0.0.1", d.dicom_port, "LAMINA"), "TESTER")
        ask(caller, "1.2.3.2", instances)
        caller.release()
        wait_until(lambda: reports, 30, "a report over another association")
        assert reports[0] == ("1.2.3.2", [uid for _, uid in instances]), reports
        never(lambda: len(reports) > 1, 1, "reported twice")
        assert scp_data is not None


def scp_events(scp, reports):
    """Makes the faulty node take N-EVENT-REPORT."""
    from harness import faulty

    def data(self, body):
        context, request, content = self.message(body)
        document = elements(content)
        reports.append((uid_text(document[0x00081195]),
                        [uid_text(i[0x00081155]) for i in items(document[0x00081199])]))
        self.send(context, {0x00000002: COMMITMENT, 0x00000100: 0x8100, 0x00000900: 0,
                            0x00000120: int.from_bytes(request[0x00000110], "little"), 0x00001002: 1})
        return True
    faulty.Conversation.data, before = data, faulty.Conversation.data
    return before


harness.run(globals())
