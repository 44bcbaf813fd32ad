#include "daemon/worker/progress.h"

#include <math.h>

#include "core/base/clock.h"

enum { TELL_EVERY_US = 100000 };

static const char *const names[LAM_STAGE_COUNT] = {
    [LAM_STAGE_READ] = "read",       [LAM_STAGE_PREPARE] = "prepare", [LAM_STAGE_NETWORK] = "network",
    [LAM_STAGE_MEASURE] = "measure", [LAM_STAGE_EXPLAIN] = "explain", [LAM_STAGE_WRITE] = "write",
};

const char *lam_stage_name(lam_stage stage)
{
    return names[stage];
}

void lam_progress_finish(lam_progress *progress)
{
    int64_t now = lam_clock_monotonic_us();
    if (progress->since_us)
        progress->spent_us[progress->stage] += now - progress->since_us;
    progress->since_us = 0;
}

void lam_progress_enter(lam_progress *progress, lam_stage stage)
{
    lam_progress_finish(progress);
    progress->stage = stage;
    progress->since_us = lam_clock_monotonic_us();
    progress->told_us = 0;
    lam_progress_step(progress, 0, 1);
}

void lam_progress_step(lam_progress *progress, size_t done, size_t total)
{
    int64_t now = lam_clock_monotonic_us();
    if (!progress->tell || (progress->told_us && now - progress->told_us < TELL_EVERY_US))
        return;
    progress->told_us = now;
    progress->tell(progress->context, progress->stage, done, total);
}

void lam_progress_write(const lam_progress *progress, lam_json_writer *w)
{
    lam_jw_object(w, "timings_ms");
    for (int i = 0; i < LAM_STAGE_COUNT; i++)
        lam_jw_number(w, names[i], round((double)progress->spent_us[i] / 10) / 100);
    lam_jw_end(w);
}
