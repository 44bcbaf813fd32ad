/* The input gate of a model, asked before its network is (core/rnn/gate.h). */
#include <string.h>

#include "daemon/worker/find_parts.h"

static const char *const names[LAM_GATE_MODES] = {
    [LAM_GATE_FLAG] = "flag", [LAM_GATE_REFUSE] = "refuse", [LAM_GATE_IGNORE] = "ignore"};

bool lam_gate_mode_find(const char *name, lam_gate_mode *out)
{
    for (int i = 0; i < LAM_GATE_MODES; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (lam_gate_mode)i;
            return true;
        }
    return false;
}

lam_status lam_search_check(lam_search *s, lam_error *err)
{
    const lam_gate *gate = lam_bundle_gate(s->bundle);
    const lam_network *network = lam_bundle_network(s->bundle);
    char text[LAM_GATE_TEXT];
    if (!gate || s->options->gate == LAM_GATE_IGNORE || s->found.gate.checked)
        return LAM_OK;
    lam_status status =
        lam_gate_check(gate, s->manifest, lam_network_axes(network), lam_network_input_channels(network),
                       s->passage.input, s->passage.size, &s->found.gate, err);
    if (status != LAM_OK || s->found.gate.accepted || s->options->gate != LAM_GATE_REFUSE)
        return status;
    return lam_fail(err, LAM_E_UNSUPPORTED, LAM_GATE_REASON ": %s", lam_gate_describe(&s->found.gate, text));
}

void lam_gate_write(const lam_gate_verdict *verdict, lam_json_writer *w)
{
    if (!verdict->checked)
        return;
    lam_jw_object(w, "gate");
    lam_jw_bool(w, "accepted", verdict->accepted);
    lam_jw_number(w, "score", verdict->score);
    lam_jw_number(w, "threshold", verdict->threshold);
    if (!verdict->accepted)
        lam_jw_text(w, "reason", LAM_GATE_REASON);
    lam_jw_end(w);
}
