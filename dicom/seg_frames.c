#include "dicom/seg_frames.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "dicom/seg.h"

static size_t slice_voxels(const lam_result *result)
{
    const int64_t *size = lam_series_grid(result->series)->size;
    return (size_t)(size[1] * size[2]);
}

static size_t slice_count(const lam_result *result)
{
    return (size_t)lam_series_grid(result->series)->size[0];
}

static bool any(const uint8_t *bytes, size_t count)
{
    return bytes[0] != 0 || memcmp(bytes, bytes + 1, count - 1) != 0;
}

/* Whether a voxel is of two segments: only masks can. Segments of different phases count, too: no frame is
 * derived from the images of both. */
static bool find_overlap(const lam_result *result)
{
    const lam_findings *f = &result->findings;
    size_t voxels = slice_voxels(result) * slice_count(result);
    for (size_t s = 1; s < f->segment_count; s++)
        if (f->segments[s].phase != f->segments[0].phase)
            return true;
    for (size_t s = 0; s < f->segment_count; s++) {
        const uint8_t *mask = f->segments[s].mask;
        for (size_t t = 0; mask && t < f->segment_count; t++) {
            const uint8_t *other = f->segments[t].mask;
            if (t == s || (other && t < s))
                continue;
            for (size_t i = 0; i < voxels; i++)
                if (mask[i] && (other ? other[i] != 0 : f->labels[i] == f->segments[t].number))
                    return true;
        }
    }
    return false;
}

lam_seg_form lam_seg_form_of(const lam_result *result)
{
    const lam_findings *f = &result->findings;
    lam_seg_form form = result->choices.seg_form;
    bool probabilities = f->segment_count > 0;
    for (size_t s = 0; s < f->segment_count; s++)
        probabilities = probabilities && f->segments[s].probabilities;
    bool fits = form == LAM_SEG_LABELMAP      ? !find_overlap(result)
                : form == LAM_SEG_PROBABILITY ? probabilities
                                              : true;
    return fits ? form : LAM_SEG_BINARY;
}

/* Which labels a slice has. Eight voxels that are like the eight before them, as most are, say nothing new.
 */
static void find_labels(const uint8_t *slice, size_t count, bool labels[256])
{
    uint64_t last = 0, eight = 0;
    size_t i = 0;
    for (; i + sizeof eight <= count; i += sizeof eight) {
        memcpy(&eight, slice + i, sizeof eight);
        if (eight == last && i > 0)
            continue;
        last = eight;
        for (size_t k = 0; k < sizeof eight; k++)
            labels[slice[i + k]] = true;
    }
    for (; i < count; i++)
        labels[slice[i]] = true;
}

/* present[segment × slices + slice], in one pass over the label map and one over each mask. */
static void find_present(const lam_result *result, lam_seg_form form, bool *present)
{
    const lam_findings *f = &result->findings;
    size_t slices = slice_count(result), voxels = slice_voxels(result);
    for (size_t z = 0; z < slices; z++) {
        bool labels[256] = {false};
        if (f->labels)
            find_labels(f->labels + z * voxels, voxels, labels);
        for (size_t s = 0; s < f->segment_count; s++) {
            const lam_segment *segment = &f->segments[s];
            const uint8_t *own = form == LAM_SEG_PROBABILITY ? segment->probabilities : segment->mask;
            present[s * slices + z] = own ? any(own + z * voxels, voxels) : labels[segment->number];
        }
    }
}

static void list_frames(const lam_result *result, const bool *present, lam_seg_frames *f)
{
    size_t slices = slice_count(result), segments = result->findings.segment_count;
    bool all = result->choices.empty_frames;
    if (f->form == LAM_SEG_LABELMAP) {
        for (size_t z = 0; z < slices; z++) {
            bool here = all;
            for (size_t s = 0; s < segments; s++)
                here |= present[s * slices + z];
            if (here)
                f->list[f->count++] = (lam_seg_frame){-1, z};
        }
    } else {
        for (size_t s = 0; s < segments; s++)
            for (size_t z = 0; z < slices; z++)
                if (lam_result_segment_number(result, s) && (all || present[s * slices + z]))
                    f->list[f->count++] = (lam_seg_frame){(int)s, z};
    }
    if (f->count > 0)
        return;
    for (size_t s = 0; s < (f->form == LAM_SEG_LABELMAP ? 1 : segments); s++)
        f->list[f->count++] = (lam_seg_frame){f->form == LAM_SEG_LABELMAP ? -1 : (int)s, 0};
}

lam_status lam_seg_frames_choose(const lam_result *result, lam_seg_frames *out, lam_error *err)
{
    size_t most = slice_count(result) * result->findings.segment_count;
    lam_autofree bool *present = calloc(most, sizeof *present);
    lam_seg_frames f = {.overlap = find_overlap(result), .list = calloc(most, sizeof *f.list)};
    if (!present || !f.list) {
        free(f.list);
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    }
    f.form = lam_seg_form_of(result);
    find_present(result, f.form, present);
    list_frames(result, present, &f);
    *out = f;
    return LAM_OK;
}

void lam_seg_frames_done(lam_seg_frames *frames)
{
    free(frames->list);
    *frames = (lam_seg_frames){.list = NULL};
}

uint64_t lam_seg_frames_bytes(const lam_result *result, const lam_seg_frames *frames)
{
    uint64_t voxels = (uint64_t)frames->count * slice_voxels(result);
    uint64_t bytes = frames->form == LAM_SEG_BINARY ? (voxels + 7) / 8 : voxels;
    return bytes + bytes % 2;
}

/* Eight pixels at a time: each byte that equals `label` becomes 0 by exclusive or, zero bytes become single
 * bits, and a product gathers the bits, the first pixel lowest. */
static uint8_t pack_eight(const uint8_t *labels, uint8_t label)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    uint64_t x;
    memcpy(&x, labels, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    x ^= 0x0101010101010101u * label;
    uint64_t zero = ~(((x & low) + low) | x | low) >> 7;
    return (uint8_t)((zero * 0x0102040810204080u) >> 56);
}

/* As lam_seg_pack, of pixels that are not 0. */
static void pack_mask(const uint8_t *mask, size_t count, uint8_t *bits, uint64_t offset)
{
    for (size_t i = 0; i < count; i++, offset++)
        bits[offset / 8] |= (uint8_t)((mask[i] != 0) << (offset % 8));
}

void lam_seg_pack(const uint8_t *labels, size_t count, uint8_t label, uint8_t *bits, uint64_t offset)
{
    unsigned shift = offset % 8;
    size_t i = 0;
    for (; i + 8 <= count; i += 8, offset += 8) {
        unsigned eight = (unsigned)pack_eight(labels + i, label) << shift;
        bits[offset / 8] |= (uint8_t)eight;
        if (eight > 0xff)
            bits[offset / 8 + 1] |= (uint8_t)(eight >> 8);
    }
    for (; i < count; i++, offset++)
        bits[offset / 8] |= (uint8_t)((labels[i] == label) << (offset % 8));
}

static void fill_labelmap(const lam_result *result, size_t slice, uint8_t *out)
{
    const lam_findings *f = &result->findings;
    size_t voxels = slice_voxels(result);
    uint8_t numbers[256] = {0};
    for (size_t s = 0; s < f->segment_count; s++)
        numbers[f->segments[s].number] = (uint8_t)lam_result_segment_number(result, s);
    for (size_t i = 0; f->labels && i < voxels; i++)
        out[i] = numbers[f->labels[slice * voxels + i]];
    for (size_t s = 0; s < f->segment_count; s++)
        for (size_t i = 0; f->segments[s].mask && i < voxels; i++)
            if (f->segments[s].mask[slice * voxels + i])
                out[i] = numbers[f->segments[s].number];
}

void lam_seg_frames_fill(const lam_result *result, const lam_seg_frames *frames, uint8_t *pixels)
{
    const lam_findings *f = &result->findings;
    size_t voxels = slice_voxels(result);
    for (size_t k = 0; k < frames->count; k++) {
        size_t at = frames->list[k].slice * voxels;
        uint8_t *out = pixels + k * voxels;
        if (frames->form == LAM_SEG_LABELMAP) {
            fill_labelmap(result, frames->list[k].slice, out);
            continue;
        }
        const lam_segment *segment = &f->segments[frames->list[k].segment];
        if (frames->form == LAM_SEG_PROBABILITY)
            memcpy(out, segment->probabilities + at, voxels);
        else if (frames->form == LAM_SEG_OCCUPANCY)
            for (size_t i = 0; i < voxels; i++)
                out[i] = segment->mask ? segment->mask[at + i] != 0 : f->labels[at + i] == segment->number;
        else if (segment->mask)
            pack_mask(segment->mask + at, voxels, pixels, (uint64_t)k * voxels);
        else
            lam_seg_pack(f->labels + at, voxels, (uint8_t)segment->number, pixels, (uint64_t)k * voxels);
    }
}
