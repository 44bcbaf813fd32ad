/* daemon/laminad/config.h: files, defaults, checks, reload, and the texts made from the table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "daemon/laminad/config.h"
#include "tests/unit/daemon/pem.h"
#include "tests/unit/unit.h"

static char folder[] = "/tmp/lamina-test-config-XXXXXX";
static char path[sizeof folder + 16], pem[sizeof folder + 16], other[sizeof folder + 16];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/lamina.conf", folder);
    snprintf(pem, sizeof pem, "%s/1.pem", folder);
    snprintf(other, sizeof other, "%s/2.pem", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    unlink(pem);
    unlink(other);
    return rmdir(folder);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static lam_config *load(const char *text)
{
    lam_config *config = NULL;
    lam_error err = {0};
    write_file(path, text);
    if (lam_config_load(path, &config, &err) != LAM_OK)
        fail_msg("%s", err.message);
    return config;
}

/* What --check-config says about a file, with the file's path cut off. */
static void assert_report(const char *text, lam_status status, const char *expected)
{
    LAM_AUTO(lam_buffer_done) lam_buffer report;
    LAM_AUTO(lam_buffer_done) lam_buffer plain;
    lam_buffer_init(&report, 1 << 20);
    lam_buffer_init(&plain, 1 << 20);
    write_file(path, text);
    assert_int_equal(lam_config_check(path, &report), status);
    for (const char *at = lam_buffer_text(&report); *at;) {
        const char *hit = strstr(at, path);
        size_t length = hit ? (size_t)(hit - at) : strlen(at);
        lam_buffer_append(&plain, at, length);
        at += length + (hit ? strlen(path) : 0);
    }
    if (!strstr(lam_buffer_text(&plain), expected))
        fail_msg("expected: %s\nreport: %s", expected, lam_buffer_text(&plain));
}

static void has_defaults(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_config) *c = load("");
    assert_string_equal(c->source, path);
    assert_string_equal(c->data_dir, "/var/lib/lamina");
    assert_string_equal(c->dicom_listen.host, "127.0.0.1");
    assert_int_equal(c->dicom_listen.port, 11112);
    assert_string_equal(c->ae_title, "LAMINA");
    assert_int_equal(c->accept, LAM_ACCEPT_KNOWN);
    assert_int_equal(lam_config_effective_accept(c), LAM_ACCEPT_ANY);
    assert_int_equal(c->http_listen.port, 8080);
    assert_int_equal(c->auth, LAM_AUTH_NONE);
    assert_int_equal(c->stable_after_ms, 5000);
    assert_int_equal(c->job_timeout_ms, 600000);
    assert_int_equal(c->max_attempts, 3);
    assert_int_equal(c->reserve_bytes, (int64_t)1 << 30);
    assert_int_equal(c->max_pdu, 131072);
    assert_true(c->workers >= 1);
    assert_int_equal(c->log_level, LAM_LOG_INFO);
    assert_int_equal(c->models_dir[0], '/');
}

static void reads_every_type(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_config) *c = load("\xEF\xBB\xBF; a comment\n"
                                       "[lamina]\r\n"
                                       "data_dir=/srv/lamina   ; inline\r\n"
                                       "workers = 3\n"
                                       "log_level = debug\n"
                                       "[dicom]\n"
                                       "listen = [::1]:104\n"
                                       "ae_title = MY NODE\n"
                                       "max_pdu = 16384\n"
                                       "idle_timeout = 250s\n"
                                       "[http]\n"
                                       "listen = localhost:80\n"
                                       "public_url = https://x.example/lamina/\n"
                                       "[storage]\n"
                                       "duplicates = replace\n"
                                       "max_object = 512M\n"
                                       "[analysis]\n"
                                       "stable_after = 250ms\n"
                                       "[peer pacs]\n"
                                       "ae_title = PACS\n"
                                       "address = [2001:db8::5]:104\n"
                                       "accept = no\n"
                                       "profile = ohif\n"
                                       "[peer ct-1]\n"
                                       "ae_title = CT1\n"
                                       "[rule hippocampus]\n"
                                       "model = hippocampus\n"
                                       "when = Modality = MR\n"
                                       "   and SeriesDescription ~ /hippo/i ; why\n"
                                       "# end");
    assert_string_equal(c->data_dir, "/srv/lamina");
    assert_int_equal(c->workers, 3);
    assert_int_equal(c->log_level, LAM_LOG_DEBUG);
    assert_string_equal(c->dicom_listen.host, "::1");
    assert_int_equal(c->dicom_listen.port, 104);
    assert_string_equal(c->ae_title, "MY NODE");
    assert_int_equal(c->max_pdu, 16384);
    assert_int_equal(c->idle_timeout_ms, 250000);
    assert_string_equal(c->public_url, "https://x.example/lamina");
    assert_int_equal(c->duplicates, LAM_DUPLICATES_REPLACE);
    assert_int_equal(c->max_object_bytes, 512 << 20);
    assert_int_equal(c->stable_after_ms, 250);
    assert_int_equal(c->peer_count, 2);
    assert_string_equal(c->peers[0].name, "pacs");
    assert_string_equal(c->peers[0].address.host, "2001:db8::5");
    assert_false(c->peers[0].accept);
    assert_int_equal(c->peers[0].profile, LAM_PROFILE_OHIF);
    assert_true(c->peers[1].accept);
    assert_int_equal(c->peers[1].address.port, 0);
    assert_int_equal(c->rule_count, 1);
    assert_string_equal(c->rules[0].model, "hippocampus");
    assert_string_equal(c->rules[0].when_text, "Modality = MR and SeriesDescription ~ /hippo/i");
    assert_non_null(c->rules[0].when);
    assert_int_equal(lam_config_effective_accept(c), LAM_ACCEPT_KNOWN);

    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 1 << 20);
    assert_int_equal(lam_config_write(c, &text), LAM_OK);
    static const char *const written[] = {
        "\nworkers = 3\n",
        "\n[dicom]\nlisten = [::1]:104\n",
        "\nmax_pdu = 16K\n",
        "\nidle_timeout = 250s\n",
        "\nmax_object = 512M\n",
        "\njob_timeout = 10m\n",
        "\nstable_after = 250ms\n",
        "\n[peer pacs]\nkind = dimse\nae_title = PACS\naddress = [2001:db8::5]:104\naccept = no\n",
        "\n[peer ct-1]\nkind = dimse\nae_title = CT1\naccept = yes\n",
        "\n[rule hippocampus]\nmodel = hippocampus\nwhen = Modality = MR and SeriesDescription ~ /hippo/i\n",
    };
    for (size_t i = 0; i < LAM_COUNT(written); i++)
        if (!strstr(lam_buffer_text(&text), written[i]))
            fail_msg("%s is not in\n%s", written[i], lam_buffer_text(&text));
    assert_null(strstr(lam_buffer_text(&text), "token_file"));
}

/* Each mistake, and the line that the report must contain. */
static void names_file_line_and_mistake(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[dicom]\nport = 5\n", "error: :2: [dicom] has no key 'port'\n"},
        {"\n[dicmo]\nlisten = x\n", "error: :2: there is no section [dicmo]; there are [lamina] [dicom] "
                                    "[http] [storage] [analysis] [worklist] "
                                    "[audit] [peer NAME] [rule NAME]"},
        {"workers = 2\n", "error: :1: 'workers' stands before the first [section]\n"},
        {"[lamina]\nworkers = 2\nworkers = 3\n", "error: :3: [lamina] has workers already\n"},
        {"[http]\n[lamina]\n[http]\n", "error: :3: there is a section [http] already\n"},
        {"[peer a]\nae_title=A\n[peer a]\n", "error: :3: there is a section [peer a] already\n"},
        {"[peer a]\n\n", "error: :1: [peer a] needs the key ae_title\n"},
        {"[peer]\nae_title = A\n", "error: :1: [peer NAME] needs a name"},
        {"[http main]\n", "error: :1: [http] takes no name; remove 'main'\n"},
        {"[lamina]\nworkers 2\n", "error: :2: expected a [section] or key = value\n"},
        {"[lamina\nworkers = 2\n", "error: :1: expected a [section] or key = value\n"},
        {"[lamina]\nworkers = 0\n",
         "error: :2: [lamina] workers must be auto, or a whole number from 1 to 64, not '0'\n"},
        {"[lamina]\nworkers = 2x\n", "must be auto, or a whole number"},
        {"[lamina]\nlog_level = loud\n", "log_level must be error, warning, info or debug, not 'loud'\n"},
        {"[lamina]\ndata_dir = here\n", "data_dir must be an absolute path, not 'here'\n"},
        {"[dicom]\nlisten = 11112\n", "listen must be host:port or [IPv6 address]:port, not '11112'\n"},
        {"[dicom]\nlisten = ::1:104\n", "listen must be host:port"},
        {"[dicom]\nlisten = [::zz]:104\n", "listen must be host:port"},
        {"[peer a]\nae_title = A\naddress = 127.0.0.1:0\n", "address must be host:port"},
        {"[rule r]\nmodel = m\nwhen = Modallity = MR\n",
         "error: :3: [rule r] when: Modallity is not an attribute"},
        {"[dicom]\nlisten = 127.0.0.1:65536\n", "listen must be host:port"},
        {"[dicom]\nae_title = SEVENTEEN_LETTERS\n", "ae_title must be 1 to 16 ASCII characters"},
        {"[dicom]\nae_title = A\\B\n", "ae_title must be 1 to 16 ASCII characters"},
        {"[dicom]\nidle_timeout = 5\n",
         "idle_timeout must be a duration (ms, s, m, h, d) from 1s to 1d, not '5'\n"},
        {"[dicom]\nidle_timeout = 99999999999999999d\n", "idle_timeout must be a duration"},
        {"[storage]\nmax_object = 10GB\n", "max_object must be a size (bytes, or K, M, G, T) from 1M to 1T"},
        {"[http]\npublic_url = lamina.example\n", "public_url must be an http:// or https:// URL"},
        {"[http]\nauth = mtls\n", "http.auth = mtls needs http.tls_certificate"},
        {"[lamina]\n  workers = 2\n  log_level = info\n",
         "error: :3: an indented line goes on with the key before"},
        {"[rule r]\nmodel = m\nwhen = Modality = MR\n  or Modality = CT\n",
         "error: :3: [rule r] when: column 15: expected 'and'"},
        {"[rule r]\nmodel = ../x\nwhen = Modality = MR\n", "model must be a model name"},
        {"[rule r]\nmodel = m\n", "error: :1: [rule r] needs the key when\n"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++)
        assert_report(cases[i][0], LAM_E_INVALID, cases[i][1]);
}

/* What two keys make wrong together is said at the line of one of them; of a key that is missing, at that of
 * its section or of the one that asks for it. */
static void names_the_line_of_what_does_not_go_together(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[lamina]\nworkers = 1\n[http]\nlisten = 0.0.0.0:80\n", "error: :4: http.listen = 0.0.0.0 is not"},
        {"[http]\n\nauth = token\n", "error: :3: http.auth = token needs"},
        {"[http]\ntls_key = /dev/null\n", "error: :2: http.tls_certificate and http.tls_key go together"},
        {"[dicom]\nlisten = 0.0.0.0:11112\n\naccept = any\n", "error: :4: dicom.listen = 0.0.0.0 is not"},
        {"[peer a]\nae_title = A\n[peer b]\ndeliver = results\nae_title = B\n",
         "error: :4: [peer b] deliver = results needs an address"},
        {"[peer a]\nae_title = A\n[peer b]\nkind = webhook\n", "error: :3: [peer b] needs the key url"},
        {"[peer a]\nae_title = A\n[peer b]\nae_title = A\n",
         "error: :4: [peer a] and [peer b] have the same"},
        {"[dicom]\nx = 1\n[lamina]\nmodels_dir = /nowhere\n", "warning: :4: there is no folder"},
        {"[dicom]\nx = 1\n[lamina]\nmodels_dir = /\n[rule r]\nwhen = Modality = MR\nmodel = none\n",
         "warning: :7: [rule r] sends series to the model none"},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++)
        assert_report(cases[i][0], LAM_E_INVALID, cases[i][1]);
}

static void reports_all_at_once(void **state)
{
    (void)state;
    static const char text[] = "[dicom]\nport = 1\nae_title = \\\n[x]\ny = z\n[http]\nlisten = 0.0.0.0:80\n";
    assert_report(text, LAM_E_INVALID, ":2: [dicom] has no key 'port'\n");
    assert_report(text, LAM_E_INVALID, ":3: [dicom] ae_title must be");
    assert_report(text, LAM_E_INVALID, ":4: there is no section [x]");
    assert_report(text, LAM_E_INVALID, "http.listen = 0.0.0.0 is not a loopback address");

    lam_config *config = NULL;
    lam_error err = {0};
    assert_int_equal(lam_config_load(path, &config, &err), LAM_E_INVALID);
    assert_null(config);
    assert_non_null(strstr(err.message, "lamina.conf:2: [dicom] has no key 'port' (and 3 more;"));
}

static void refuses_odd_files(void **state)
{
    (void)state;
    char text[600];
    snprintf(text, sizeof text, "[lamina]\ndata_dir = /%0300d\nlog_level = info\n", 7);
    assert_report(text, LAM_E_INVALID, "error: :2: the line is longer than 199 characters\n");

    lam_config *config = NULL;
    lam_error err = {0};
    FILE *file = fopen(path, "w");
    assert_int_equal(fwrite("[lamina]\0\n", 1, 10, file), 10);
    fclose(file);
    assert_int_equal(lam_config_load(path, &config, &err), LAM_E_INVALID);
    assert_int_equal(lam_config_load(folder, &config, &err), LAM_E_IO);
    assert_int_equal(lam_config_load("/nonexistent/lamina.conf", &config, &err), LAM_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nonexistent/lamina.conf"));
    assert_null(config);
}

/* Promise 10: closed by default. */
static void listens_beyond_loopback_only_with_authentication(void **state)
{
    (void)state;
    static const char *const refused[][2] = {
        {"[http]\nlisten = 0.0.0.0:8080\n", "http.auth = none would let anyone in"},
        {"[http]\nlisten = [::]:8080\n", "http.auth = none would let anyone in"},
        {"[http]\nlisten = host.example:8080\n", "http.auth = none would let anyone in"},
        {"[http]\nauth = token\n", "http.auth = token needs http.token_file"},
        {"[dicom]\nlisten = 0.0.0.0:104\n", "no [peer NAME] with an address may associate"},
        {"[dicom]\nlisten = 0.0.0.0:104\n[peer a]\nae_title = A\n", "no [peer NAME] with an address"},
        {"[dicom]\nlisten = 0.0.0.0:104\n[peer a]\nae_title = A\naddress = 10.0.0.1:104\naccept = no\n",
         "no [peer NAME] with an address"},
        {"[dicom]\nlisten = 0.0.0.0:104\naccept = any\n[peer a]\nae_title = A\naddress = 10.0.0.1:104\n",
         "dicom.accept = any would let anyone in"},
    };
    for (size_t i = 0; i < LAM_COUNT(refused); i++)
        assert_report(refused[i][0], LAM_E_INVALID, refused[i][1]);
    assert_report("[dicom]\nlisten = 0.0.0.0:104\n[peer a]\nae_title = A\naddress = 10.0.0.1:104\n", LAM_OK,
                  "");
    assert_report("[dicom]\nlisten = 127.1.2.3:104\naccept = any\n", LAM_OK, "");
    assert_report("[dicom]\nlisten = [::1]:8080\n[http]\nlisten = [::1]:8080\n", LAM_E_INVALID,
                  "dicom.listen and http.listen are the same");
}

static void needs_its_files(void **state)
{
    (void)state;
    char text[256];
    static const char form[] = "[http]\nlisten = 0.0.0.0:8080\nauth = token\ntoken_file = %s\n";
    assert_int_equal(chmod(path, 0600), 0);
    snprintf(text, sizeof text, form, "/nonexistent/token");
    assert_report(text, LAM_E_INVALID, "cannot read http.token_file = /nonexistent/token: No such file");
    snprintf(text, sizeof text, form, path);
    assert_report(text, LAM_OK, "");
    assert_report("[http]\ntls_certificate = /nonexistent/c\ntls_key = /etc/passwd\n", LAM_E_INVALID,
                  "cannot read http.tls_certificate = /nonexistent/c: No such file");
    assert_report("[http]\ntls_certificate = /etc/passwd\ntls_key = /etc/passwd\n", LAM_E_INVALID,
                  "http.tls_key = /etc/passwd is accessible to everyone: chmod o= it");
}

/* A mistake is said when the configuration is read, not by the first connection that fails. */
static void certificates_and_keys_are_looked_into(void **state)
{
    (void)state;
    char text[512];
    static const char dicom[] = "[dicom]\ntls_certificate = %s\ntls_key = %s\n";
    static const char http[] =
        "[http]\nauth = mtls\ntls_certificate = %s\ntls_key = %s\ntls_client_ca = %s\n";
    static const char peer[] =
        "[peer p]\nae_title = P\naddress = h:1\ntls = yes\ntls_certificate = %s\ntls_key = %s\n";
    pem_make(pem, 100);
    snprintf(text, sizeof text, dicom, pem, pem);
    assert_report(text, LAM_OK, "");
    pem_make(other, 100);
    snprintf(text, sizeof text, dicom, pem, other);
    assert_report(text, LAM_E_INVALID, ":3: dicom.tls_key: ");
    assert_report(text, LAM_E_INVALID, "2.pem is not the key of the certificate");
    snprintf(text, sizeof text, peer, pem, other);
    assert_report(text, LAM_OK, ":6: [peer p] tls_key: ");
    assert_report(text, LAM_OK, "is not the key of the certificate");
    write_file(other, "-----BEGIN NONSENSE-----\n");
    snprintf(text, sizeof text, http, pem, pem, other);
    assert_report(text, LAM_E_INVALID, ":5: http.tls_client_ca: ");
    assert_report(text, LAM_E_INVALID, "2.pem holds no certificate in PEM");
    snprintf(text, sizeof text, dicom, pem, other);
    assert_report(text, LAM_E_INVALID, "2.pem holds no private key in PEM without a passphrase");
    snprintf(text, sizeof text, dicom, other, pem);
    assert_report(text, LAM_E_INVALID, ":2: dicom.tls_certificate: ");
}

static void certificates_that_expire_are_told_early(void **state)
{
    (void)state;
    char text[512];
    static const struct {
        int days;
        const char *said;
    } cases[] = {{-2, "1.pem expired on 20"}, {20, "1.pem expires on 20"}, {40, ""}};
    snprintf(text, sizeof text, "[dicom]\ntls_certificate = %s\ntls_key = %s\n", pem, pem);
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        pem_make(pem, cases[i].days);
        assert_report(text, LAM_OK, cases[i].said);
        LAM_AUTO(lam_buffer_done) lam_buffer report;
        lam_buffer_init(&report, 1 << 20);
        assert_int_equal(lam_config_check(path, &report), LAM_OK);
        assert_int_equal(strstr(lam_buffer_text(&report), " expire") == NULL, cases[i].said[0] == '\0');
    }
}

static void a_rule_for_a_model_that_is_not_there(void **state)
{
    (void)state;
    static const char form[] = "[lamina]\nmodels_dir = /\n[rule r]\nmodel = %s\nwhen = Modality = MR\n";
    char text[256];
    snprintf(text, sizeof text, form, "absent");
    assert_report(text, LAM_OK,
                  "[rule r] sends series to the model absent, which is not in lamina.models_dir");
    snprintf(text, sizeof text, form, "etc");
    assert_report(text, LAM_OK, "");
}

static void reload_keeps_what_needs_a_restart(void **state)
{
    (void)state;
    LAM_AUTO_PTR(lam_config) *old = load("[dicom]\nlisten = 127.0.0.1:104\nae_title = ONE\n");
    LAM_AUTO_PTR(lam_config) *fresh = NULL;
    LAM_AUTO(lam_buffer_done) lam_buffer restart;
    lam_buffer_init(&restart, 4096);
    write_file(
        path,
        "[lamina]\nworkers = 57\n[dicom]\nlisten = 127.0.0.1:105\nae_title = TWO\n[peer p]\nae_title = P\n");
    assert_int_equal(lam_config_reload(old, &fresh, &restart, NULL), LAM_OK);
    assert_string_equal(lam_buffer_text(&restart), "lamina.workers dicom.listen");
    assert_int_equal(fresh->dicom_listen.port, 104);
    assert_int_equal(fresh->workers, old->workers);
    assert_string_equal(fresh->ae_title, "TWO");
    assert_int_equal(fresh->peer_count, 1);

    lam_config *broken = NULL;
    lam_error err;
    write_file(path, "[dicom]\nae_title =\n");
    assert_int_equal(lam_config_reload(old, &broken, &restart, &err), LAM_E_INVALID);
    assert_null(broken);
}

static void without_a_file(void **state)
{
    (void)state;
    if (access(LAM_CONFIG_DEFAULT_FILE, F_OK) == 0)
        skip();
    lam_config *config = NULL;
    setenv("XDG_STATE_HOME", "/var/tmp/state", 1);
    setenv("LAMINA_MODELS", folder, 1);
    assert_int_equal(lam_config_load(NULL, &config, NULL), LAM_OK);
    assert_string_equal(config->source, "");
    assert_string_equal(config->data_dir, "/var/tmp/state/lamina");
    assert_string_equal(config->models_dir, folder);
    lam_config_free(config);

    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "/home/someone", 1);
    assert_int_equal(lam_config_load(NULL, &config, NULL), LAM_OK);
    assert_string_equal(config->data_dir, "/home/someone/.local/state/lamina");
    lam_config_free(config);

    unsetenv("HOME");
    config = NULL;
    assert_int_equal(lam_config_load(NULL, &config, NULL), LAM_E_INVALID);
    assert_null(config);
    unsetenv("LAMINA_MODELS");
}

/* What --print gives reads back as the same configuration, long conditions included. */
static void writes_what_it_reads(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    LAM_AUTO(lam_buffer_done) lam_buffer once;
    LAM_AUTO(lam_buffer_done) lam_buffer twice;
    lam_buffer_init(&text, 1 << 20);
    lam_buffer_init(&once, 1 << 20);
    lam_buffer_init(&twice, 1 << 20);
    lam_buffer_append_text(&text,
                           "[peer p]\nae_title = P\naddress = 10.0.0.1:104\n[rule r]\nmodel = m\nwhen =");
    for (int i = 0; i < 40; i++)
        lam_buffer_printf(&text, " %sSeriesDescription != \"number %d and more\"\n", i ? "and " : "", i);
    LAM_AUTO_PTR(lam_config) *a = load(lam_buffer_text(&text));
    assert_int_equal(lam_config_write(a, &once), LAM_OK);
    LAM_AUTO_PTR(lam_config) *b = load(lam_buffer_text(&once));
    assert_string_equal(a->rules[0].when_text, b->rules[0].when_text);
    assert_int_equal(lam_config_write(b, &twice), LAM_OK);
    assert_string_equal(lam_buffer_text(&once), lam_buffer_text(&twice));
}

/* The example is the defaults: as it stands, and with every commented key made real it is still legal. */
static void example_is_a_configuration(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer example;
    LAM_AUTO(lam_buffer_done) lam_buffer of_example;
    LAM_AUTO(lam_buffer_done) lam_buffer of_nothing;
    lam_buffer_init(&example, 1 << 20);
    lam_buffer_init(&of_example, 1 << 20);
    lam_buffer_init(&of_nothing, 1 << 20);
    assert_int_equal(lam_config_write_example(&example), LAM_OK);
    LAM_AUTO_PTR(lam_config) *a = load(lam_buffer_text(&example));
    LAM_AUTO_PTR(lam_config) *b = load("");
    lam_config_write(a, &of_example);
    lam_config_write(b, &of_nothing);
    assert_string_equal(lam_buffer_text(&of_example), lam_buffer_text(&of_nothing));

    LAM_AUTO(lam_buffer_done) lam_buffer real;
    lam_buffer_init(&real, 1 << 20);
    for (char *line = strtok(example.data, "\n"); line; line = strtok(NULL, "\n")) {
        const char *file = strstr(line, "= /etc/"); /* one that is there, secret, and holds all there is */
        int shown = file ? (int)(file + 2 - line) : (int)strlen(line);
        bool comment = line[0] == ';';
        lam_buffer_printf(&real, "%.*s%s\n", shown - comment, line + comment, file ? pem : "");
    }
    pem_make(pem, 100);
    LAM_AUTO_PTR(lam_config) *c = load(lam_buffer_text(&real));
    assert_int_equal(c->peer_count, 1);
    assert_int_equal(c->rule_count, 1);
    assert_string_equal(c->token_file, pem);
}

static void assert_same_file(const char *name, const char *begin, const char *end, const char *expected)
{
    LAM_AUTO(lam_buffer_done) lam_buffer file;
    lam_buffer_init(&file, 1 << 20);
    lam_error err = {0};
    if (lam_io_read_file(name, &file, &err) != LAM_OK)
        fail_msg("%s", err.message);
    char *from = file.data;
    if (begin) {
        from = strstr(from, begin);
        assert_non_null(from);
        from += strlen(begin);
        char *to = strstr(from, end);
        assert_non_null(to);
        *to = '\0';
    }
    if (strcmp(from, expected) != 0)
        fail_msg("%s is not what the table says; run 'make config-docs'", name);
}

static void committed_texts_are_current(void **state)
{
    (void)state;
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 1 << 20);
    lam_config_write_example(&text);
    assert_same_file("systemd/lamina.conf", NULL, NULL, lam_buffer_text(&text));
    lam_buffer_clear(&text);
    lam_config_write_man(&text);
    assert_same_file("docs/man/lamina.conf.5", ".\\\" keys begin\n", ".\\\" keys end\n",
                     lam_buffer_text(&text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_defaults),
        cmocka_unit_test(reads_every_type),
        cmocka_unit_test(names_file_line_and_mistake),
        cmocka_unit_test(names_the_line_of_what_does_not_go_together),
        cmocka_unit_test(names_the_line_of_what_does_not_go_together),
        cmocka_unit_test(reports_all_at_once),
        cmocka_unit_test(refuses_odd_files),
        cmocka_unit_test(listens_beyond_loopback_only_with_authentication),
        cmocka_unit_test(needs_its_files),
        cmocka_unit_test(certificates_and_keys_are_looked_into),
        cmocka_unit_test(certificates_that_expire_are_told_early),
        cmocka_unit_test(a_rule_for_a_model_that_is_not_there),
        cmocka_unit_test(reload_keeps_what_needs_a_restart),
        cmocka_unit_test(without_a_file),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(example_is_a_configuration),
        cmocka_unit_test(committed_texts_are_current),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
