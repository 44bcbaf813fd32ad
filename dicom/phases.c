#include "dicom/phases.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/tag.h"

/* What tells phases apart, in order of preference. `group`: in that functional group of the frame; 0: in the
 * object; `tag` 0: the number of the frame. */
static const struct {
    lam_tag group, tag;
} keys[] = {
    {0, LAM_TAG_TRIGGER_TIME},      {LAM_TAG_CARDIAC_SYNCHRONIZATION, LAM_TAG_TRIGGER_DELAY},
    {0, LAM_TAG_TEMPORAL_POSITION}, {LAM_TAG_FRAME_CONTENT, LAM_TAG_TEMPORAL_INDEX},
    {0, LAM_TAG_INSTANCE_NUMBER},   {0, 0},
};

typedef struct entry {
    size_t place;
    double key;
    size_t slice;
} entry;

static int by_place_and_key(const void *a, const void *b)
{
    const entry *p = a, *q = b;
    if (p->place != q->place)
        return p->place < q->place ? -1 : 1;
    if (p->key != q->key)
        return p->key < q->key ? -1 : 1;
    return p->slice < q->slice ? -1 : p->slice > q->slice;
}

/* ---- keys ---- */

static bool read_key(const lam_slice *slice, size_t key, double *out)
{
    lam_dataset *item = slice->object;
    if (!keys[key].tag) {
        *out = (double)slice->frame;
        return true;
    }
    if (keys[key].group) {
        lam_dataset *frame = lam_dataset_item(item, LAM_TAG_FRAME_GROUPS, (size_t)slice->frame);
        item = frame ? lam_dataset_item(frame, keys[key].group, 0) : NULL;
    }
    return item && lam_dataset_number(item, keys[key].tag, 0, out);
}

/* Whether all slices have the key and no two at one place share it; then the entries are sorted by it. */
static bool sort_by_key(const lam_slice *slices, entry *entries, size_t count, size_t key)
{
    for (size_t i = 0; i < count; i++)
        if (!read_key(&slices[entries[i].slice], key, &entries[i].key))
            return false;
    qsort(entries, count, sizeof *entries, by_place_and_key);
    for (size_t i = 1; i < count; i++)
        if (entries[i].place == entries[i - 1].place && !(entries[i].key > entries[i - 1].key))
            return false;
    return true;
}

static const char *series_of(const lam_slice *slice)
{
    return lam_dataset_text(slice->object, LAM_TAG_SERIES, "");
}

/* Numbers the series in the order of their first slices; how many there are. */
static size_t number_series(const lam_slice *slices, entry *entries, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        size_t first = 0;
        while (strcmp(series_of(&slices[first]), series_of(&slices[i])) != 0)
            first++;
        entries[i].key = first < i ? entries[first].key : (double)found++;
    }
    return found;
}

/* ---- places ---- */

static lam_status find_places(const lam_slice *slices, size_t count, entry *out, size_t *places,
                              lam_error *err)
{
    lam_autofree lam_plane *planes = calloc(count + 1, sizeof *planes);
    lam_autofree size_t *place_of = calloc(count + 1, sizeof *place_of);
    if (!planes || !place_of)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        planes[i] = slices[i].plane;
    lam_status status = lam_grid_places(planes, count, place_of, places, err);
    for (size_t i = 0; i < count && status == LAM_OK; i++)
        out[i] = (entry){place_of[i], 0, i};
    return status;
}

/* Every place has as many images as the first; `entries` are sorted by place. */
static lam_status check_counts(const entry *entries, size_t count, size_t places, lam_error *err)
{
    size_t each = 0;
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin; end < count && entries[end].place == entries[begin].place;)
            end++;
        each = each ? each : end - begin;
        if (end - begin != each)
            return lam_fail(
                err, LAM_E_INVALID,
                "place %zu of %zu along the normal has %zu images, the first has %zu: phases are missing",
                entries[begin].place + 1, places, end - begin, each);
    }
    return LAM_OK;
}

/* Each series once at every place. */
static lam_status check_series(const entry *entries, size_t count, size_t series, lam_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (entries[i].key != (double)(i % series))
            return lam_fail(err, LAM_E_INVALID,
                            "the %zu series have no image of each at place %zu along the normal, so they are "
                            "not phases of one stack",
                            series, entries[i].place + 1);
    return LAM_OK;
}

/* ---- the whole ---- */

/* From sorted by place to one stack after the other. */
static lam_status deal(lam_slice *slices, const entry *entries, size_t places, size_t phases, lam_error *err)
{
    lam_autofree lam_slice *sorted = calloc(places * phases, sizeof *sorted);
    if (!sorted)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    for (size_t place = 0; place < places; place++)
        for (size_t phase = 0; phase < phases; phase++)
            sorted[phase * places + place] = slices[entries[place * phases + phase].slice];
    memcpy(slices, sorted, places * phases * sizeof *slices);
    return LAM_OK;
}

lam_status lam_phases_sort(lam_slice *slices, size_t count, size_t *phases, lam_error *err)
{
    size_t places = 0, key = 0;
    lam_autofree entry *entries = calloc(count + 1, sizeof *entries);
    if (!entries)
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    lam_status status = find_places(slices, count, entries, &places, err);
    if (status != LAM_OK)
        return status;
    size_t series = number_series(slices, entries, count);
    qsort(entries, count, sizeof *entries, by_place_and_key);
    if ((status = check_counts(entries, count, places, err)) != LAM_OK)
        return status;
    if (series > 1) {
        if ((status = check_series(entries, count, series, err)) != LAM_OK)
            return status;
    } else {
        while (key < LAM_COUNT(keys) && !sort_by_key(slices, entries, count, key))
            key++;
        if (key == LAM_COUNT(keys))
            return lam_fail(
                err, LAM_E_INVALID,
                "nothing tells apart the %zu images at each place: no TriggerTime (0018,1060), "
                "TemporalPositionIdentifier (0020,0100) or InstanceNumber (0020,0013) of their own",
                count / places);
    }
    *phases = count / places;
    return deal(slices, entries, places, *phases, err);
}
