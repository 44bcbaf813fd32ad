/* daemon/laminad/audit.h and what is beneath it: records by the schema of PS3.15 section A.5.1 whatever the
 * values, refusals counted together, gaps that are said, files that end with their day. */
#include "daemon/laminad/audit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/io.h"
#include "daemon/laminad/audit_associations.h"
#include "daemon/laminad/audit_file.h"
#include "tests/unit/daemon/fixture.h"

enum { DAY_MS = 24 * 60 * 60 * 1000 };

static const lam_audit_source source = {"LAMINA", "host", 17};

/* ---- messages ---- */

static void is_the_record_that_the_standard_wants(void **state)
{
    (void)state;
    lam_audit_entry entry = {.kind = LAM_AUDIT_RECEIVED,
                             .wall_ms = INT64_C(1795485600123),
                             .user = "CT1",
                             .user_is_ae_title = true,
                             .address = "10.0.0.5",
                             .patient_id = "4711",
                             .study = {.study_uid = "1.2.3"},
                             .records = true};
    lam_transfer_count(&entry.study, "1.2.840.10008.5.1.4.1.1.2", 3);
    lam_buffer out;
    lam_buffer_init(&out, 1 << 16);
    lam_audit_message_write(&source, &entry, &out);
    assert_string_equal(
        lam_buffer_text(&out),
        "<85>1 2026-11-24T02:00:00.123Z host laminad 17 DICOM+RFC3881 - \xEF\xBB\xBF"
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><AuditMessage>"
        "<EventIdentification EventActionCode=\"C\" EventDateTime=\"2026-11-24T02:00:00.123Z\""
        " EventOutcomeIndicator=\"0\"><EventID csd-code=\"110104\" codeSystemName=\"DCM\""
        " originalText=\"DICOM Instances Transferred\"/></EventIdentification>"
        "<ActiveParticipant UserID=\"CT1\" AlternativeUserID=\"AETITLES=CT1\" UserIsRequestor=\"true\" "
        "NetworkAccessPointID=\"10.0.0.5\""
        " NetworkAccessPointTypeCode=\"2\"><RoleIDCode csd-code=\"110153\" codeSystemName=\"DCM\""
        " originalText=\"Source Role ID\"/></ActiveParticipant>"
        "<ActiveParticipant UserID=\"17\" AlternativeUserID=\"AETITLES=LAMINA\" UserIsRequestor=\"false\""
        " NetworkAccessPointID=\"host\" NetworkAccessPointTypeCode=\"1\"><RoleIDCode csd-code=\"110152\""
        " codeSystemName=\"DCM\" originalText=\"Destination Role ID\"/></ActiveParticipant>"
        "<AuditSourceIdentification AuditSourceID=\"LAMINA\"><AuditSourceTypeCode csd-code=\"4\"/>"
        "</AuditSourceIdentification>"
        "<ParticipantObjectIdentification ParticipantObjectID=\"1.2.3\" ParticipantObjectTypeCode=\"2\""
        " ParticipantObjectTypeCodeRole=\"3\"><ParticipantObjectIDTypeCode csd-code=\"110180\""
        " codeSystemName=\"DCM\" originalText=\"Study Instance UID\"/><ParticipantObjectName>1.2.3"
        "</ParticipantObjectName><ParticipantObjectDescription><SOPClass UID=\"1.2.840.10008.5.1.4.1.1.2\""
        " NumberOfInstances=\"3\"/></ParticipantObjectDescription></ParticipantObjectIdentification>"
        "<ParticipantObjectIdentification ParticipantObjectID=\"4711\" ParticipantObjectTypeCode=\"1\""
        " ParticipantObjectTypeCodeRole=\"1\"><ParticipantObjectIDTypeCode csd-code=\"2\""
        " codeSystemName=\"RFC-3881\" originalText=\"Patient Number\"/><ParticipantObjectName>4711"
        "</ParticipantObjectName></ParticipantObjectIdentification></AuditMessage>\n");
    lam_buffer_done(&out);
}

/* PS3.15 table A.5.3.11-1: who performs what is alerted of is no requestor. */
static void an_alert_is_asked_for_by_who_reports_it(void **state)
{
    (void)state;
    const lam_audit_entry entry = {.kind = LAM_AUDIT_NODE_REFUSED, .address = "10.0.0.5"};
    lam_buffer out;
    lam_buffer_init(&out, 1 << 16);
    lam_audit_message_write(&source, &entry, &out);
    const char *text = lam_buffer_text(&out);
    assert_non_null(strstr(text, "UserID=\"10.0.0.5\" UserIsRequestor=\"false\""));
    assert_non_null(
        strstr(text, "UserID=\"17\" AlternativeUserID=\"AETITLES=LAMINA\" UserIsRequestor=\"true\""));
    lam_buffer_done(&out);
}

/* Every kind with values that would end an attribute, a line or the encoding. */
static void survives_hostile_values(void **state)
{
    (void)state;
    static const char bad[] = "a<b>\"c'&]]>\n\r\t\x01\x7f\xff\xc3 \xEF\xBF\xBF\xEF\xBF\xBE \xc3\xa4";
    for (int kind = 0; kind < LAM_AUDIT_KINDS; kind++) {
        lam_audit_entry entry = {.kind = (lam_audit_kind)kind, .records = true, .query = bad};
        snprintf(entry.user, sizeof entry.user, "%s", bad);
        snprintf(entry.reason, sizeof entry.reason, "%s", bad);
        snprintf(entry.patient_id, sizeof entry.patient_id, "%s", bad);
        lam_buffer out;
        lam_buffer_init(&out, 1 << 16);
        lam_audit_message_write(&source, &entry, &out);
        const char *text = lam_buffer_text(&out);
        assert_int_equal(out.status, LAM_OK);
        assert_ptr_equal(strpbrk(text, "\n\r\t\x01\x7f\xff"), text + out.length - 1);
        assert_non_null(strstr(text, "a&lt;b&gt;&quot;c&apos;&amp;]]&gt;??????? ?? \xc3\xa4"));
        assert_non_null(strstr(text, "<ParticipantObjectQuery>YTxiPiJjJyZdXT4KDQkBf//DIO+/v++/viDDpA==</"));
        assert_null(strstr(text, "a<b>"));
        lam_buffer_done(&out);
    }
}

static void cuts_and_encodes_very_long_values(void **state)
{
    (void)state;
    char *query = malloc(100001);
    assert_non_null(query);
    memset(query, '?', 100000);
    query[100000] = '\0';
    const lam_audit_entry entry = {.kind = LAM_AUDIT_QUERY, .query = query};
    lam_buffer out;
    lam_buffer_init(&out, 1 << 20);
    lam_audit_message_write(&source, &entry, &out);
    assert_int_equal(out.status, LAM_OK);
    const char *text = strstr(lam_buffer_text(&out), "<ParticipantObjectQuery>");
    assert_non_null(text);
    assert_int_equal(strcspn(text + strlen("<ParticipantObjectQuery>"), "<"), (100000 + 2) / 3 * 4);
    lam_buffer_done(&out);
    lam_buffer_init(&out, 1000);
    lam_audit_message_write(&source, &entry, &out);
    assert_int_equal(out.status, LAM_E_LIMIT);
    lam_buffer_done(&out);
    free(query);
}

/* ---- transfers ---- */

static void counts_studies_and_classes_with_limits(void **state)
{
    (void)state;
    lam_transfers t = {0};
    char uid[32];
    for (int i = 0; i < 3 * LAM_TRANSFER_CLASSES; i++) {
        snprintf(uid, sizeof uid, "1.%d", i);
        lam_transfers_add(&t, "2.1", uid, NULL);
    }
    lam_transfers_add(&t, "2.1", "1.0", "first");
    lam_transfers_add(&t, "2.1", "1.0", "second");
    assert_int_equal(t.count, 2);
    assert_int_equal(t.items[0].class_count, LAM_TRANSFER_CLASSES);
    assert_string_equal(t.items[0].classes[LAM_TRANSFER_CLASSES - 1].uid, "");
    assert_int_equal(t.items[0].classes[LAM_TRANSFER_CLASSES - 1].instances, 2 * LAM_TRANSFER_CLASSES + 1);
    assert_true(t.items[1].refused);
    assert_string_equal(t.items[1].reason, "first");
    assert_int_equal(t.items[1].classes[0].instances, 2);
    for (int i = 0; i < 3 * LAM_TRANSFER_STUDIES; i++) {
        snprintf(uid, sizeof uid, "3.%d", i);
        lam_transfers_add(&t, uid, "1.0", NULL);
    }
    assert_int_equal(t.count, LAM_TRANSFER_STUDIES + 1);
    assert_string_equal(t.items[LAM_TRANSFER_STUDIES].study_uid, "");
    assert_int_equal(t.items[LAM_TRANSFER_STUDIES].classes[0].instances, 2 * LAM_TRANSFER_STUDIES + 2);
    lam_transfers_done(&t);
    assert_int_equal(t.count, 0);
}

/* ---- the trail ---- */

static lam_audit *start(const fixture *f)
{
    lam_error err = {LAM_OK, ""};
    lam_audit *audit = NULL;
    const lam_audit_options options = {.data_dir = f->directory,
                                       .ae_title = "LAMINA",
                                       .database = f->database,
                                       .keep_ms = 30 * (int64_t)DAY_MS};
    assert_ok(lam_audit_start(&options, &audit, &err), err);
    return audit;
}

/* The names of today's and tomorrow's file: a test may run over midnight. */
static void name_of(const fixture *f, int day, char path[128])
{
    char text[LAM_CLOCK_TEXT];
    lam_clock_iso8601(lam_clock_wall_ms() + (int64_t)day * DAY_MS, text);
    snprintf(path, 128, "%s/audit/%.10s.log", f->directory, text);
}

static char *read_trail(const fixture *f)
{
    lam_buffer text;
    lam_buffer_init(&text, 64 << 20);
    for (int day = -1; day <= 1; day++) {
        char path[128];
        name_of(f, day, path);
        if (access(path, R_OK) == 0)
            lam_io_read_file(path, &text, NULL);
    }
    lam_buffer_append_text(&text, "");
    return lam_buffer_take(&text);
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0, length = strlen(word);
    for (; *text; text++) /* sanitizers would measure all that is left at each strstr */
        count += *text == *word && strncmp(text, word, length) == 0;
    return count;
}

static void nothing_is_noted_where_there_is_no_trail(void **state)
{
    (void)state;
    lam_audit_note(NULL, &(lam_audit_entry){.kind = LAM_AUDIT_QUERY});
    lam_audit_note_transfers(NULL, &(lam_audit_entry){0}, &(lam_transfers){0});
    lam_audit_wait_for_room(NULL);
    lam_audit_set_keep(NULL, 0);
    lam_audit_stop(NULL);
}

static void patients_and_classes_come_from_the_index(void **state)
{
    fixture *f = *state;
    fixture_receive(f, "1.1", "1.1.1", "1.1.1.1", ",\"00100020\":{\"vr\":\"LO\",\"Value\":[\"P 7\"]}", 1000);
    lam_audit *audit = start(f);
    lam_audit_note(audit, &(lam_audit_entry){
                              .kind = LAM_AUDIT_ACCESSED, .study = {.study_uid = "1.1"}, .records = true});
    lam_audit_stop(audit);
    char *text = read_trail(f);
    assert_int_equal(count_of(text, "\n"), 3);
    assert_int_equal(count_of(text, "ParticipantObjectID=\"P 7\""), 1);
    assert_int_equal(count_of(text, "NumberOfInstances=\"1\"/>"), 1);
    assert_int_equal(count_of(text, "Application Start"), 1);
    assert_int_equal(count_of(text, "Application Stop"), 1);
    free(text);
}

static void many_refusals_are_counted(void **state)
{
    const fixture *f = *state;
    lam_audit *audit = start(f);
    for (int i = 0; i < 5 * LAM_AUDIT_QUEUE; i++)
        lam_audit_note(audit, &(lam_audit_entry){.kind = LAM_AUDIT_NODE_REFUSED, .user = "SCANNER"});
    lam_audit_note(audit, &(lam_audit_entry){.kind = LAM_AUDIT_USER_REFUSED});
    lam_audit_stop(audit);
    char *text = read_trail(f), expected[64];
    snprintf(expected, sizeof expected, ">%d more since 20", 5 * LAM_AUDIT_QUEUE - LAM_AUDIT_ALERTS);
    assert_int_equal(count_of(text, "UserID=\"SCANNER\""), LAM_AUDIT_ALERTS);
    assert_int_equal(count_of(text, "Node Authentication"), LAM_AUDIT_ALERTS + 1);
    assert_int_equal(count_of(text, expected), 1);
    assert_int_equal(count_of(text, "User Authentication"), 1);
    assert_null(strstr(text, "lost"));
    free(text);
}

/* A disk that takes nothing: the queue fills, nobody waits, and the gap is said as soon as that is possible.
 */
static void a_gap_is_never_silent(void **state)
{
    enum { NOTED = 3 * LAM_AUDIT_QUEUE };
    const fixture *f = *state;
    char folder[128], today[128], tomorrow[128];
    snprintf(folder, sizeof folder, "%s/audit", f->directory);
    name_of(f, 0, today);
    name_of(f, 1, tomorrow);
    assert_int_equal(mkdir(folder, 0750), 0);
    assert_int_equal(mkdir(today, 0750), 0);
    assert_int_equal(mkdir(tomorrow, 0750), 0);
    lam_audit *audit = start(f);
    for (int i = 0; i < NOTED; i++)
        lam_audit_note(audit, &(lam_audit_entry){.kind = LAM_AUDIT_QUERY, .query = "q"});
    assert_int_equal(rmdir(tomorrow), 0);
    assert_int_equal(rmdir(today), 0);
    char *text = NULL;
    for (bool said = false; !said; usleep(20000)) { /* it tries each second */
        free(text);
        text = read_trail(f);
        said = strstr(text, "were lost") != NULL;
    }
    free(text);
    lam_audit_stop(audit);
    text = read_trail(f);
    const char *said = strstr(text, " records since 20");
    assert_non_null(said);
    assert_non_null(strstr(said, "were lost for want of room: Query<"));
    while (said[-1] != '>')
        said--;
    size_t kept = count_of(text, "<ParticipantObjectQuery>"), lost = strtoull(said, NULL, 10);
    assert_true(kept >= LAM_AUDIT_QUEUE && lost > 0);
    assert_int_equal(count_of(text, "were lost"), 1);
    assert_int_equal(kept + lost, NOTED);
    assert_int_equal(count_of(text, "Audit Recording Stopped"), 1);
    free(text);
}

static void what_transfers_have_lost_is_a_gap(void **state)
{
    const fixture *f = *state;
    lam_audit *audit = start(f);
    lam_audit_note_transfers(audit, &(lam_audit_entry){.kind = LAM_AUDIT_RECEIVED},
                             &(lam_transfers){.lost = 3});
    lam_audit_stop(audit);
    char *text = read_trail(f);
    assert_int_equal(count_of(text, ">3 records since 20"), 1);
    assert_int_equal(count_of(text, "were lost for want of room: DICOM Instances Transferred<"), 1);
    free(text);
}

static void *ask_and_ask(void *argument)
{
    for (int i = 0; i < 2 * LAM_AUDIT_QUEUE; i++) {
        lam_audit_wait_for_room(argument);
        lam_audit_note(argument, &(lam_audit_entry){.kind = LAM_AUDIT_QUERY, .query = "q"});
    }
    return NULL;
}

static void who_waits_for_room_loses_nothing(void **state)
{
    enum { ASKERS = 4 };
    const fixture *f = *state;
    lam_audit *audit = start(f);
    pthread_t askers[ASKERS];
    for (size_t i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_create(&askers[i], NULL, ask_and_ask, audit), 0);
    for (size_t i = 0; i < ASKERS; i++)
        pthread_join(askers[i], NULL);
    lam_audit_stop(audit);
    char *text = read_trail(f);
    assert_int_equal(count_of(text, "<ParticipantObjectQuery>"), 2 * ASKERS * LAM_AUDIT_QUEUE);
    assert_null(strstr(text, "were lost"));
    assert_int_equal(count_of(text, "Application Stop"), 1);
    free(text);
}

/* What is too old goes also when the disk takes nothing new: it may be full of that. */
static void a_full_disk_gets_rid_of_old_days(void **state)
{
    const fixture *f = *state;
    const char *old = fixture_path(f, "audit/2020-01-01.log");
    char day[2][128];
    assert_int_equal(mkdir(fixture_path(f, "audit"), 0750), 0);
    for (int i = 0; i < 2; i++) {
        name_of(f, i, day[i]);
        assert_int_equal(mkdir(day[i], 0750), 0);
    }
    int fd = open(old, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    lam_audit *audit = start(f);
    while (access(old, F_OK) == 0)
        usleep(10000);
    lam_audit_stop(audit);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rmdir(day[i]), 0);
}

/* ---- associations ---- */

static lam_arrival *arrive(int64_t association, const char *study)
{
    lam_arrival *arrival = lam_arrival_create();
    assert_non_null(arrival);
    arrival->association = association;
    arrival->fate = LAM_ARRIVAL_ADDED;
    snprintf(arrival->sender, sizeof arrival->sender, "CT%d", (int)association);
    snprintf(arrival->header.study_uid, sizeof arrival->header.study_uid, "%s", study);
    snprintf(arrival->sop_class_uid, sizeof arrival->sop_class_uid, "1.2.840.10008.5.1.4.1.1.2");
    return arrival;
}

/* An object may be decided after its association has ended: by a crash of lamina-dimse, or after its
 * patience.
 */
static void what_an_association_brought_is_recorded_after_its_end_too(void **state)
{
    const fixture *f = *state;
    lam_audit_associations associations = {.audit = start(f)};
    const lam_audit_association ct1 = {.number = 1, .calling_ae = "CT1", .address = "10.0.0.5", .reason = ""};
    static const struct {
        int64_t association;
        const char *study;
        bool ends;
    } objects[] = {{1, "2.1", false}, {1, "2.1", true}, {1, "2.2", false}, {7, "2.3", false}};
    lam_audit_associations_hear(&associations, "accepted", &ct1);
    for (size_t i = 0; i < LAM_COUNT(objects); i++) {
        lam_arrival *arrival = arrive(objects[i].association, objects[i].study);
        lam_audit_associations_count(&associations, arrival);
        lam_arrival_free(arrival);
        if (objects[i].ends)
            lam_audit_associations_hear(&associations, "released", &ct1);
    }
    lam_audit_associations_hear(&associations, "released", &ct1); /* known no more, and no alert */
    lam_audit_associations_end(&associations);
    lam_audit_stop(associations.audit);
    char *text = read_trail(f);
    assert_int_equal(count_of(text, "DICOM Instances Transferred"), 3);
    assert_int_equal(count_of(text, "NumberOfInstances=\"2\""), 1);
    assert_int_equal(count_of(text, "NumberOfInstances=\"1\""), 2);
    assert_int_equal(count_of(text, "UserID=\"CT1\" AlternativeUserID=\"AETITLES=CT1\""), 2);
    assert_int_equal(count_of(text, "UserID=\"CT7\""), 1);
    assert_null(strstr(text, "Security Alert"));
    free(text);
}

static void without_a_trail_associations_are_not_kept(void **state)
{
    (void)state;
    lam_audit_associations associations = {.audit = NULL};
    lam_arrival *arrival = arrive(1, "2.1");
    lam_audit_associations_hear(&associations, "accepted", &(lam_audit_association){.number = 1});
    lam_audit_associations_count(&associations, arrival);
    assert_null(associations.first);
    lam_audit_associations_end(&associations);
    lam_arrival_free(arrival);
}

/* ---- files ---- */

static void old_days_go_and_others_stay(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *name;
        bool stays;
    } files[] = {{"2026-11-20.log", false}, {"2026-11-21.log", false},   {"2026-11-22.log", true},
                 {"2026-11-23.log", true},  {"2026-11-20.log.gz", true}, {"notes.txt", true},
                 {"2025-01-01.log", false}, {"0000-aa-01.log", true}};
    lam_error err = {LAM_OK, ""};
    lam_audit_file file;
    char path[128];
    snprintf(path, sizeof path, "%s/audit", f->directory);
    assert_ok(lam_audit_file_init(&file, path, &err), err);
    for (size_t i = 0; i < LAM_COUNT(files); i++) {
        int fd = openat(file.folder, files[i].name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    lam_audit_file_expire(&file, INT64_C(1795485600000), 0);
    assert_int_equal(faccessat(file.folder, "2025-01-01.log", F_OK, 0), 0);
    lam_audit_file_expire(&file, INT64_C(1795485600000), 2 * (int64_t)DAY_MS); /* 2026-11-24T02:00Z */
    for (size_t i = 0; i < LAM_COUNT(files); i++)
        assert_int_equal(faccessat(file.folder, files[i].name, F_OK, 0) == 0, files[i].stays);
    lam_audit_file_done(&file);
}

static void each_day_has_its_file_and_a_cut_line_ends(void **state)
{
    const fixture *f = *state;
    lam_error err = {LAM_OK, ""};
    lam_audit_file file;
    lam_buffer line;
    char path[128];
    snprintf(path, sizeof path, "%s/audit", f->directory);
    assert_ok(lam_audit_file_init(&file, path, &err), err);
    int fd = openat(file.folder, "2026-11-24.log", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "cut", 3), 3);
    close(fd);
    lam_buffer_init(&line, 100);
    lam_buffer_append_text(&line, "line\n");
    const int64_t before_midnight = INT64_C(1795564799999);
    for (int i = 0; i < 3; i++) { /* the third in the file of the second */
        assert_ok(lam_audit_file_append(&file, before_midnight + (i > 0), &line, &err), err);
        assert_int_equal(file.began, i < 2);
        assert_true(file.dirty);
        lam_audit_file_expire(&file, before_midnight, 0);
    }
    assert_ok(lam_audit_file_sync(&file, &err), err);
    assert_false(file.dirty);
    lam_audit_file_done(&file);
    static const char *const expected[][2] = {{"2026-11-24", "cut\nline\n"}, {"2026-11-25", "line\nline\n"}};
    for (size_t i = 0; i < LAM_COUNT(expected); i++) {
        lam_buffer_clear(&line);
        snprintf(path, sizeof path, "%s/audit/%s.log", f->directory, expected[i][0]);
        assert_ok(lam_io_read_file(path, &line, &err), err);
        assert_string_equal(lam_buffer_text(&line), expected[i][1]);
    }
    lam_buffer_done(&line);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_record_that_the_standard_wants),
        cmocka_unit_test(an_alert_is_asked_for_by_who_reports_it),
        cmocka_unit_test(survives_hostile_values),
        cmocka_unit_test(cuts_and_encodes_very_long_values),
        cmocka_unit_test(counts_studies_and_classes_with_limits),
        cmocka_unit_test(nothing_is_noted_where_there_is_no_trail),
        WITH_FIXTURE(patients_and_classes_come_from_the_index),
        WITH_FIXTURE(many_refusals_are_counted),
        WITH_FIXTURE(a_gap_is_never_silent),
        WITH_FIXTURE(what_transfers_have_lost_is_a_gap),
        WITH_FIXTURE(who_waits_for_room_loses_nothing),
        WITH_FIXTURE(a_full_disk_gets_rid_of_old_days),
        WITH_FIXTURE(what_an_association_brought_is_recorded_after_its_end_too),
        cmocka_unit_test(without_a_trail_associations_are_not_kept),
        WITH_FIXTURE(old_days_go_and_others_stay),
        WITH_FIXTURE(each_day_has_its_file_and_a_cut_line_ends),
    };
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
