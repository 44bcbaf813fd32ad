/* The web page: a few files embedded in the program, plain HTML, CSS and JavaScript. It shows nothing by
 * itself; its script asks /api/v1 as any other client, so it needs no authentication of its own. */
#include <string.h>

#include "api/embed.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "core/base/cleanup.h"

LAM_EMBED(lam_ui_index, "api/ui/index.html");
LAM_EMBED(lam_ui_style, "api/ui/style.css");
LAM_EMBED(lam_ui_icon, "api/ui/icon.svg");
LAM_EMBED(lam_ui_app, "api/ui/app.js");
LAM_EMBED(lam_ui_changes, "api/ui/changes.js");
LAM_EMBED(lam_ui_client, "api/ui/client.js");
LAM_EMBED(lam_ui_deliveries, "api/ui/deliveries.js");
LAM_EMBED(lam_ui_search, "api/ui/search.js");
LAM_EMBED(lam_ui_dom, "api/ui/dom.js");
LAM_EMBED(lam_ui_results, "api/ui/results.js");
LAM_EMBED(lam_ui_viewer, "api/ui/viewer.js");
LAM_EMBED(lam_ui_views, "api/ui/views.js");
LAM_EMBED(lam_ui_worklist, "api/ui/worklist.js");

#define HTML   "text/html; charset=utf-8"
#define CSS    "text/css; charset=utf-8"
#define SCRIPT "text/javascript; charset=utf-8"

static const struct {
    const char *name;
    const char *media_type;
    const char *bytes;
    const char *end;
} files[] = {
    {"index.html", HTML, lam_ui_index, lam_ui_index_end},
    {"style.css", CSS, lam_ui_style, lam_ui_style_end},
    {"icon.svg", "image/svg+xml", lam_ui_icon, lam_ui_icon_end},
    {"app.js", SCRIPT, lam_ui_app, lam_ui_app_end},
    {"changes.js", SCRIPT, lam_ui_changes, lam_ui_changes_end},
    {"client.js", SCRIPT, lam_ui_client, lam_ui_client_end},
    {"deliveries.js", SCRIPT, lam_ui_deliveries, lam_ui_deliveries_end},
    {"search.js", SCRIPT, lam_ui_search, lam_ui_search_end},
    {"dom.js", SCRIPT, lam_ui_dom, lam_ui_dom_end},
    {"results.js", SCRIPT, lam_ui_results, lam_ui_results_end},
    {"viewer.js", SCRIPT, lam_ui_viewer, lam_ui_viewer_end},
    {"views.js", SCRIPT, lam_ui_views, lam_ui_views_end},
    {"worklist.js", SCRIPT, lam_ui_worklist, lam_ui_worklist_end},
};

/* Nothing from elsewhere, nothing inline; blob: is how the script shows pictures that it fetched with a
 * token. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src "
    "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static void reply_file(lam_request *request, const char *name)
{
    for (size_t i = 0; i < LAM_COUNT(files); i++) {
        if (strcmp(files[i].name, name) != 0)
            continue;
        lam_reply_constant(request, files[i].media_type, files[i].bytes,
                           (size_t)(files[i].end - files[i].bytes));
        lam_reply_header(request, "Content-Security-Policy", policy);
        lam_reply_header(request, "Referrer-Policy", "no-referrer");
        lam_reply_header(request, "X-Frame-Options", "DENY");
        return;
    }
    lam_reply_problem(request, MHD_HTTP_NOT_FOUND, "the web page has no such part");
}

void lam_ui_page(lam_request *request)
{
    reply_file(request, "index.html");
}

void lam_ui_file(lam_request *request)
{
    reply_file(request, request->parameters[0]);
}
