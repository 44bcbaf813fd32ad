#include "daemon/cli/model_check.h"

#include <stdio.h>

#include "core/base/buffer.h"
#include "core/base/json.h"
#include "core/rnn/bundle.h"

static void print_json(const lam_bundle *bundle)
{
    const lam_manifest *m = lam_bundle_manifest(bundle);
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    lam_buffer_init(&text, 1 << 16);
    lam_json_writer w = lam_json_write_to(&text);
    lam_jw_object(&w, NULL);
    lam_jw_text(&w, "name", m->name);
    lam_jw_text(&w, "version", m->version);
    lam_jw_text(&w, "task", lam_task_name(m->task));
    lam_jw_integer(&w, "parameters", lam_network_parameter_floats(lam_bundle_network(bundle)));
    lam_jw_integer(&w, "members", m->members);
    lam_jw_text(&w, "weights_sha256", lam_bundle_weights_sha256(bundle));
    if (lam_bundle_gate(bundle)) {
        lam_jw_object(&w, "gate");
        lam_jw_text(&w, "sha256", m->gate.sha256);
        lam_jw_number(&w, "threshold", m->gate.threshold);
        lam_jw_number(&w, "false_alarms", m->gate.false_alarms);
        lam_jw_end(&w);
    } else {
        lam_jw_null(&w, "gate");
    }
    lam_jw_end(&w);
    puts(lam_buffer_text(&text));
}

static void print_text(const lam_bundle *bundle)
{
    const lam_manifest *m = lam_bundle_manifest(bundle);
    printf("%s %s, %s: %s\n", m->name, m->version, lam_task_name(m->task), m->title);
    printf("  parameters  %lld", (long long)lam_network_parameter_floats(lam_bundle_network(bundle)));
    if (m->members > 1)
        printf(" in each of %d members", m->members);
    printf("\n  weights     %s\n", lam_bundle_weights_sha256(bundle));
    if (lam_bundle_gate(bundle))
        printf("  gate        %s\n              scores above %.3f are refused, %.3g %% of genuine inputs\n",
               m->gate.sha256, m->gate.threshold, 100 * m->gate.false_alarms);
    else
        puts("  gate        none");
}

lam_status lam_model_check(const char *directory, bool json, lam_error *err)
{
    LAM_AUTO_PTR(lam_bundle) *bundle = NULL;
    lam_status status = lam_bundle_load_path(directory, &bundle, err);
    if (status == LAM_OK)
        (json ? print_json : print_text)(bundle);
    return status;
}
