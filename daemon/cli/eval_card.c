#include "daemon/cli/eval_card.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/rnn/train/card.h"
#include "core/rnn/train/froc.h"
#include "daemon/cli/card_picture.h"

static lam_status write_buffer(void *context, int fd, lam_error *err)
{
    const lam_buffer *buffer = context;
    return lam_io_write_all(fd, buffer->data, buffer->length, err);
}

static bool holds(const lam_samples *samples, const lam_sample *sample)
{
    for (size_t i = 0; i < lam_samples_count(samples); i++)
        if (strcmp(lam_samples_at(samples, i)->id, sample->id) == 0)
            return true;
    return false;
}

/* By the members that scored the case. */
static lam_status draw(const lam_eval_card *card, const lam_sample *sample, lam_buffer *png, lam_error *err)
{
    size_t count, first = 0;
    const lam_weights *const *members = lam_bundle_members(card->bundle, &count);
    while (card->parts && first + 1 < count && !holds(card->parts[first], sample))
        first++;
    return lam_card_picture_draw(lam_bundle_manifest(card->bundle), members + first, card->parts ? 1 : count,
                                 sample, lam_samples_spacing(card->samples), png, err);
}

/* How many there are; none for a task that has no pictures. */
static lam_status write_pictures(const lam_eval_card *card, int folder, size_t *count, lam_error *err)
{
    lam_case_quality worst[LAM_CARD_FAILURES];
    size_t failures = lam_evaluation_worst(card->evaluation, LAM_CARD_FAILURES, worst);
    *count = 0;
    for (size_t i = 0; i < failures; i++) {
        LAM_AUTO(lam_buffer_done) lam_buffer png;
        char name[32];
        lam_buffer_init(&png, 1 << 20);
        lam_status status = draw(card, worst[i].sample, &png, err);
        if (status == LAM_E_UNSUPPORTED)
            return LAM_OK;
        snprintf(name, sizeof name, LAM_CARD_PICTURE, i + 1);
        if (status || (status = lam_io_replace(folder, name, write_buffer, &png, err)))
            return status;
        ++*count;
    }
    return LAM_OK;
}

static lam_status write_froc(const lam_eval_card *card, int folder, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer svg;
    lam_buffer_init(&svg, 1 << 16);
    if (!lam_froc_measured(card->scores))
        return LAM_OK;
    lam_froc_svg(card->scores, &svg);
    return svg.status ? lam_fail(err, svg.status, "the curve is too long")
                      : lam_io_replace(folder, LAM_CARD_FROC, write_buffer, &svg, err);
}

lam_status lam_eval_write_card(const lam_eval_card *card, const char *folder, lam_error *err)
{
    LAM_AUTO(lam_buffer_done) lam_buffer text;
    size_t pictures = 0;
    lam_buffer_init(&text, 1 << 20);
    lam_autoclose int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return lam_fail_errno(err, errno, "%s", folder);
    lam_status status = write_pictures(card, fd, &pictures, err);
    if (status == LAM_OK)
        status = write_froc(card, fd, err);
    if (status == LAM_OK)
        status =
            lam_card_write(card->bundle, card->evaluation, card->scores, card->data, pictures, &text, err);
    if (status == LAM_OK)
        status = lam_io_replace(fd, LAM_BUNDLE_CARD, write_buffer, &text, err);
    return status;
}
