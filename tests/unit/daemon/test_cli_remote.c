/* The commands of daemon/cli that talk to the daemon, against a server that gives prepared answers: what they
 * ask for, what they print, their exit status. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "daemon/cli/cli.h"
#include "tests/unit/unit.h"

#define STUDY   "1.2.3"
#define RESULTS "/api/v1/studies/" STUDY "/results"

typedef struct answer {
    const char *request; /* method and path */
    int status;
    const char *body;
} answer;

static const char done[] =
    "{\"study_uid\":\"1.2.3\",\"state\":\"done\",\"results\":[{\"job\":7,\"model\":{"
    "\"name\":\"hippocampus\",\"version\":"
    "\"1.0.0\"},\"series_uid\":\"1.2.3.4\",\"task\":\"segmentation\",\"state\":"
    "\"done\",\"timings_ms\":{\"read\":120},"
    "\"segments\":[{\"number\":1,\"label\":\"Anterior "
    "hippocampus\",\"voxels\":1520,\"volume_ml\":1.52}],\"objects\":[{"
    "\"type\":\"SEG\",\"series_uid\":\"1.2.3.5\",\"sop_uid\":\"1.2.3.5.1\"},{\"type\":"
    "\"SR\",\"series_uid\":\"1.2.3.6\","
    "\"sop_uid\":\"1.2.3.6.1\"}],\"pictures\":[{\"name\":\"montage\",\"media_type\":\"image/png\"}]}]}";

static const answer answers[] = {
    {"GET /api/v1/status", 200,
     "{\"version\":\"0.1.0\",\"uptime_s\":150,\"ae_title\":\"LAMINA\",\"dicom\":\"127.0.0.1:11112\",\"http\":"
     "\"127.0.0.1:8080\",\"studies\":{\"done\":2,\"failed\":0},\"jobs\":{},\"workers\":[{\"state\":\"idle\"}]"
     ","
     "\"disk_free_bytes\":1500000000}"},
    {"GET /api/v1/studies", 200,
     "{\"studies\":[{\"study_uid\":\"1.2.3\",\"state\":\"done\",\"series_count\":1,\"instances\":36}]}"},
    {"GET /api/v1/studies?state=failed&limit=5", 200, "{\"studies\":[]}"},
    {"GET /api/v1/studies/1.2.4", 200,
     "{\"study_uid\":\"1.2.4\",\"state\":\"no_model\",\"series\":[{\"series_uid\":\"1.2.4.1\",\"modality\":"
     "\"CT\","
     "\"instances\":3,\"state\":\"no_model\",\"reason\":\"hippocampus: Modality is CT\"}]}"},
    {"GET /api/v1/studies/1.2.4/results", 200,
     "{\"study_uid\":\"1.2.4\",\"state\":\"no_model\",\"results\":[]}"},
    {"GET /api/v1/studies/1.2.5/results", 200,
     "{\"study_uid\":\"1.2.5\",\"state\":\"running\",\"results\":[]}"},
    {"GET /api/v1/studies/1.2.6/results", 404,
     "{\"type\":\"about:blank\",\"status\":404,\"detail\":\"there is no study 1.2.6\"}"},
    {"GET " RESULTS, 200, done},
    {"GET /dicom-web/studies/1.2.3/series/1.2.3.5/instances/1.2.3.5.1?accept=application/dicom", 200,
     "a SEG"},
    {"GET /dicom-web/studies/1.2.3/series/1.2.3.6/instances/1.2.3.6.1?accept=application/dicom", 200,
     "an SR"},
    {"GET /api/v1/jobs/7/pictures/montage", 200, "a PNG"},
    {"POST /api/v1/studies/1.2.3/analyze?model=hippocampus", 202,
     "{\"study_uid\":\"1.2.3\",\"state\":\"queued\",\"series\":[]}"},
    {"POST /api/v1/jobs/7/retry", 409, "{\"detail\":\"job 7 is 'done'; only a failed job can be retried\"}"},
    {"GET /api/v1/jobs/9", 401, "{\"detail\":\"send one of the tokens\"}"},
    {"GET /api/v1/jobs/10", 502, "<html>Bad Gateway</html>"},
    {"GET /api/v1/models", 200, "not JSON"},
};

static int listener = -1;
static pthread_t server;
static char last_token[64];
static char folder[] = "/tmp/lamina-test-cli-XXXXXX";

static void reply(int fd, const char *request)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 1 << 20);
    int status = 404;
    const char *body = "{\"detail\":\"nothing is here\"}";
    size_t length = strcspn(request, "\r");
    length -= strlen(" HTTP/1.1");
    for (size_t i = 0; i < LAM_COUNT(answers); i++)
        if (strlen(answers[i].request) == length && memcmp(answers[i].request, request, length) == 0) {
            status = answers[i].status;
            body = answers[i].body;
        }
    const char *token = strstr(request, "Authorization: Bearer ");
    snprintf(last_token, sizeof last_token, "%.*s", token ? (int)strcspn(token + 22, "\r") : 0,
             token ? token + 22 : "");
    lam_buffer_printf(&text, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
                      strlen(body), body);
    lam_io_write_all(fd, text.data, text.length, NULL);
}

static void *serve(void *context)
{
    (void)context;
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        char request[4096];
        size_t length = 0;
        ssize_t got = 0;
        while (length < sizeof request - 1 &&
               (got = read(fd, request + length, sizeof request - 1 - length)) > 0) {
            length += (size_t)got;
            request[length] = '\0';
            if (strstr(request, "\r\n\r\n"))
                break;
        }
        if (got > 0)
            reply(fd, request);
    }
    return NULL;
}

static int start(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    char url[64];
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!mkdtemp(folder) || bind(listener, (struct sockaddr *)&address, length) != 0 ||
        listen(listener, 8) != 0 || getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        return -1;
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    setenv("LAMINA_URL", url, 1);
    unsetenv("LAMINA_TOKEN");
    return pthread_create(&server, NULL, serve, NULL);
}

static int stop(void **state)
{
    (void)state;
    shutdown(listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(listener);
    static const char *const files[] = {"hippocampus-7-SEG.dcm", "hippocampus-7-SR.dcm",
                                        "hippocampus-7-montage.png", "results.json"};
    char path[128];
    for (size_t i = 0; i < LAM_COUNT(files); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    return rmdir(folder);
}

/* Runs a command with standard output and error in files. */
typedef struct run {
    int status;
    char out[8192];
    char err[2048];
} run;

static void read_back(FILE *file, int to_restore, int number, char *text, size_t size)
{
    dup2(to_restore, number);
    close(to_restore);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static run call(int (*command)(int, char **), const char *const *arguments)
{
    run r = {0};
    char *argv[16] = {NULL};
    int argc = 0;
    for (; arguments[argc]; argc++)
        argv[argc] = (char *)arguments[argc];
    fflush(stdout);
    fflush(stderr);
    FILE *out = tmpfile(), *err = tmpfile();
    int old_out = dup(1), old_err = dup(2);
    dup2(fileno(out), 1);
    dup2(fileno(err), 2);
    r.status = command(argc, argv);
    fflush(stdout);
    fflush(stderr);
    read_back(out, old_out, 1, r.out, sizeof r.out);
    read_back(err, old_err, 2, r.err, sizeof r.err);
    return r;
}

#define CALL(command, ...) call((command), (const char *const[]){__VA_ARGS__, NULL})

static void shows_the_status(void **state)
{
    (void)state;
    run r = CALL(lam_cli_status, "status");
    assert_string_equal(r.err, "");
    assert_int_equal(r.status, LAM_CLI_OK);
    assert_string_equal(r.out, "laminad    0.1.0, up for 2 minutes\n"
                               "DICOM      LAMINA at 127.0.0.1:11112\n"
                               "HTTP       127.0.0.1:8080\n"
                               "studies    2 done\n"
                               "jobs       none\n"
                               "workers    1, 1 of them idle\n"
                               "disk free  1.5 GB\n");
}

static void lists_studies(void **state)
{
    (void)state;
    run r = CALL(lam_cli_studies, "studies");
    assert_string_equal(r.out, "STUDY  STATE  SERIES  INSTANCES  CREATED  DESCRIPTION\n1.2.3  done        1  "
                               "       36  -        -\n");
    r = CALL(lam_cli_studies, "studies", "--state", "failed", "--limit=5", "--json");
    assert_int_equal(r.status, LAM_CLI_OK);
    assert_string_equal(r.out, "{\n  \"studies\": []\n}\n");
}

static void shows_results(void **state)
{
    (void)state;
    run r = CALL(lam_cli_results, "results", STUDY, "--wait", "5");
    assert_string_equal(r.err, "");
    assert_int_equal(r.status, LAM_CLI_OK);
    assert_string_equal(r.out, "hippocampus 1.0.0, job 7: done\n"
                               "  series 1.2.3.4\n"
                               "  read 0.12 s\n"
                               "\n"
                               "SEGMENT               VOLUME/ML  VOXELS\n"
                               "Anterior hippocampus      1.520    1520\n"
                               "\n"
                               "OBJECT  SOP INSTANCE\n"
                               "SEG     1.2.3.5.1\n"
                               "SR      1.2.3.6.1\n");
}

static void saves_results(void **state)
{
    (void)state;
    char path[128];
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 4096);
    run r = CALL(lam_cli_results, "results", "--save", folder, STUDY);
    assert_string_equal(r.err, "");
    assert_int_equal(r.status, LAM_CLI_OK);
    assert_non_null(strstr(r.out, "/hippocampus-7-montage.png\n"));
    snprintf(path, sizeof path, "%s/hippocampus-7-SEG.dcm", folder);
    assert_int_equal(lam_io_read_file(path, &text, NULL), LAM_OK);
    assert_string_equal(lam_buffer_text(&text), "a SEG");
}

static void explains_why_there_is_nothing(void **state)
{
    (void)state;
    run r = CALL(lam_cli_results, "results", "1.2.4", "--wait=5");
    assert_int_equal(r.status, LAM_CLI_FAILED);
    assert_non_null(strstr(r.out, "study 1.2.4: no_model\n"));
    assert_non_null(strstr(r.out, "hippocampus: Modality is CT\n"));
    r = CALL(lam_cli_results, "results", "1.2.5", "--wait=0");
    assert_int_equal(r.status, LAM_CLI_FAILED);
    assert_non_null(strstr(r.err, "study 1.2.5 is still 'running' after 0 s"));
}

static void passes_on_the_servers_words(void **state)
{
    (void)state;
    run r = CALL(lam_cli_results, "results", "1.2.6");
    assert_int_equal(r.status, LAM_CLI_FAILED);
    assert_string_equal(r.err, "lamina: there is no study 1.2.6\n");
    r = CALL(lam_cli_retry, "retry", "7");
    assert_string_equal(r.err, "lamina: job 7 is 'done'; only a failed job can be retried\n");
    r = CALL(lam_cli_job, "job", "9");
    assert_string_equal(
        r.err, "lamina: send one of the tokens; set LAMINA_TOKEN to a token of the server's token_file\n");
    r = CALL(lam_cli_job, "job", "10");
    assert_non_null(strstr(r.err, "/api/v1/jobs/10 answered with HTTP status 502"));
    r = CALL(lam_cli_models, "models");
    assert_int_equal(r.status, LAM_CLI_FAILED);
    assert_non_null(strstr(r.err, "did not answer with JSON"));
    assert_string_equal(r.out, "");
}

static void posts(void **state)
{
    (void)state;
    setenv("LAMINA_TOKEN", "0123456789abcdef", 1);
    run r = CALL(lam_cli_analyze, "analyze", "--model=hippocampus", STUDY);
    assert_int_equal(r.status, LAM_CLI_OK);
    assert_non_null(strstr(r.out, "study 1.2.3: queued\n"));
    assert_string_equal(last_token, "0123456789abcdef");
    char token[9000]; /* some that others sign are long */
    memset(token, 'x', sizeof token);
    token[2000] = '\0';
    setenv("LAMINA_TOKEN", token, 1);
    assert_int_equal(CALL(lam_cli_analyze, "analyze", "--model=hippocampus", STUDY).status, LAM_CLI_OK);
    assert_true(strncmp(last_token, token, sizeof last_token - 1) == 0);
    token[2000] = 'x';
    token[sizeof token - 1] = '\0';
    setenv("LAMINA_TOKEN", token, 1);
    r = CALL(lam_cli_analyze, "analyze", "--model=hippocampus", STUDY);
    assert_int_equal(r.status, LAM_CLI_FAILED);
    assert_non_null(strstr(r.err, "too long"));
    unsetenv("LAMINA_TOKEN");
}

static void tells_when_nobody_is_there(void **state)
{
    (void)state;
    run r = CALL(lam_cli_status, "status", "--url", "http://127.0.0.1:1");
    assert_int_equal(r.status, LAM_CLI_FAILED);
    assert_non_null(strstr(r.err, "cannot talk to laminad at http://127.0.0.1:1: "));
    r = CALL(lam_cli_status, "status", "--url", "ftp://127.0.0.1");
    assert_int_equal(r.status, LAM_CLI_FAILED);
    assert_non_null(strstr(r.err, "is not an http:// or https:// URL"));
}

static void knows_wrong_usage(void **state)
{
    (void)state;
    assert_int_equal(CALL(lam_cli_results, "results").status, LAM_CLI_USAGE);
    assert_int_equal(CALL(lam_cli_results, "results", "../jobs").status, LAM_CLI_USAGE);
    assert_int_equal(CALL(lam_cli_results, "results", STUDY, STUDY).status, LAM_CLI_USAGE);
    assert_int_equal(CALL(lam_cli_results, "results", STUDY, "--wait=soon").status, LAM_CLI_USAGE);
    assert_int_equal(CALL(lam_cli_results, "results", STUDY, "--limit=3").status, LAM_CLI_USAGE);
    assert_int_equal(CALL(lam_cli_studies, "studies", "--limit=0").status, LAM_CLI_USAGE);
    assert_int_equal(CALL(lam_cli_studies, "studies", "--state=A&b").status, LAM_CLI_USAGE);
    assert_int_equal(CALL(lam_cli_studies, "studies", "x").status, LAM_CLI_USAGE);
    assert_int_equal(CALL(lam_cli_job, "job", "seven").status, LAM_CLI_USAGE);
    assert_int_equal(CALL(lam_cli_cancel, "cancel").status, LAM_CLI_USAGE);
    assert_int_equal(CALL(lam_cli_analyze, "analyze", STUDY, "--model=A/B").status, LAM_CLI_USAGE);
    run r = CALL(lam_cli_jobs, "jobs", "--nonsense");
    assert_int_equal(r.status, LAM_CLI_USAGE);
    assert_non_null(strstr(r.err, "'lamina help jobs' shows how it is used\n"));
    assert_string_equal(r.out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_the_status),
        cmocka_unit_test(lists_studies),
        cmocka_unit_test(shows_results),
        cmocka_unit_test(saves_results),
        cmocka_unit_test(explains_why_there_is_nothing),
        cmocka_unit_test(passes_on_the_servers_words),
        cmocka_unit_test(posts),
        cmocka_unit_test(tells_when_nobody_is_there),
        cmocka_unit_test(knows_wrong_usage),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
