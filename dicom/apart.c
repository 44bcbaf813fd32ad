#include "dicom/apart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/text.h"
#include "dicom/groups.h"
#include "dicom/tag.h"

enum { MOST_STACKS = 1000, SHOWN = 4, SHOWN_BYTES = 41, VALUE_BYTES = 96 };

/* What scanners put into one series, the most telling first. `group`: the functional group that says it of
 * a frame of an enhanced image. */
static const struct {
    lam_tag group, tag;
    const char *name;
} keys[] = {
    {0, LAM_TAG(0x0018, 0x0081), "EchoTime"},
    {LAM_TAG(0x0018, 0x9114), LAM_TAG(0x0018, 0x9082), "EffectiveEchoTime"},
    {0, LAM_TAG(0x0018, 0x9087), "DiffusionBValue"},
    {LAM_TAG(0x0018, 0x9117), LAM_TAG(0x0018, 0x9087), "DiffusionBValue"},
    {0, LAM_TAG_TEMPORAL_POSITION, "TemporalPositionIdentifier"},
    {LAM_TAG_FRAME_CONTENT, LAM_TAG_TEMPORAL_INDEX, "TemporalPositionIndex"},
    {0, LAM_TAG_TRIGGER_TIME, "TriggerTime"},
    {LAM_TAG_CARDIAC_SYNCHRONIZATION, LAM_TAG_TRIGGER_DELAY, "NominalCardiacTriggerDelayTime"},
    {LAM_TAG_FRAME_CONTENT, LAM_TAG(0x0020, 0x9056), "StackID"},
    {0, LAM_TAG(0x0018, 0x1210), "ConvolutionKernel"},
    {0, LAM_TAG_IMAGE_TYPE, "ImageType"},
    {LAM_TAG(0x0018, 0x9226), LAM_TAG(0x0008, 0x9007), "FrameType"},
    {LAM_TAG(0x0018, 0x9329), LAM_TAG(0x0008, 0x9007), "FrameType"},
    {0, LAM_TAG(0x0020, 0x0012), "AcquisitionNumber"},
};

typedef struct apart {
    const lam_slice *slices;
    size_t count;
    char values[MOST_STACKS][VALUE_BYTES]; /* of each stack */
    size_t stacks;
    size_t *stack_of;  /* [count] */
    lam_plane *planes; /* [count], of one stack at a time */
    size_t *order;
} apart;

/* What the attribute says of a slice; false when it says nothing. */
static bool read_value(const lam_slice *slice, size_t key, char out[VALUE_BYTES])
{
    lam_dataset *item = slice->object;
    double number;
    if (keys[key].group)
        item = slice->multi_frame ? lam_groups_item(item, keys[key].group, (size_t)slice->frame) : NULL;
    const char *text = item ? lam_dataset_text(item, keys[key].tag, NULL) : NULL;
    if (text)
        snprintf(out, VALUE_BYTES, "%s", text);
    else if (item && lam_dataset_number(item, keys[key].tag, 0, &number))
        snprintf(out, VALUE_BYTES, "%g", number);
    else
        return false;
    return true;
}

static bool share_a_place(const apart *a)
{
    const double *first = a->slices[0].plane.position;
    for (size_t i = 1; i < a->count; i++)
        for (size_t axis = 0; axis < 3; axis++)
            if (a->slices[i].plane.position[axis] != first[axis])
                return false;
    return true;
}

/* Deals the slices by one attribute. False when one does not have it, or all share it, or each has a value of
 * its own, as of a time: those are stacks of one image only where they lie upon each other. */
static bool deal(apart *a, size_t key)
{
    a->stacks = 0;
    for (size_t i = 0; i < a->count; i++) {
        char value[VALUE_BYTES];
        size_t stack = 0;
        if (!read_value(&a->slices[i], key, value))
            return false;
        while (stack < a->stacks && strcmp(a->values[stack], value) != 0)
            stack++;
        if (stack == MOST_STACKS)
            return false;
        if (stack == a->stacks)
            memcpy(a->values[a->stacks++], value, sizeof value);
        a->stack_of[i] = stack;
    }
    return a->stacks > 1 && (a->stacks < a->count || share_a_place(a));
}

static bool are_grids(apart *a)
{
    for (size_t stack = 0; stack < a->stacks; stack++) {
        lam_grid grid;
        size_t count = 0;
        for (size_t i = 0; i < a->count; i++)
            if (a->stack_of[i] == stack)
                a->planes[count++] = a->slices[i].plane;
        if (lam_grid_from_planes(a->planes, count, a->order, &grid, NULL) != LAM_OK)
            return false;
    }
    return true;
}

static void tell(const apart *a, size_t key, lam_error *err)
{
    char values[SHOWN * (SHOWN_BYTES + 2)] = "";
    size_t length = 0;
    for (size_t i = 0; i < a->stacks && i < SHOWN; i++) {
        length += lam_text_copy(values + length, sizeof values - length, i ? ", " : "");
        length += lam_text_copy(values + length, SHOWN_BYTES, a->values[i]);
    }
    length = strlen(err->message);
    snprintf(err->message + length, sizeof err->message - length,
             ". They are %zu stacks told apart by %s (%04x,%04x): %s%s. Send the one to analyse as a series "
             "of its own",
             a->stacks, keys[key].name, LAM_TAG_ARGS(keys[key].tag), values, a->stacks > SHOWN ? ", …" : "");
    lam_text_end_whole(err->message);
}

void lam_apart_explain(const lam_slice *slices, size_t count, lam_error *err)
{
    lam_autofree apart *a = calloc(1, sizeof *a);
    lam_autofree size_t *stack_of = calloc(count, sizeof *stack_of), *order = calloc(count, sizeof *order);
    lam_autofree lam_plane *planes = calloc(count, sizeof *planes);
    if (!a || !stack_of || !order || !planes || !err)
        return;
    *a = (apart){.slices = slices, .count = count, .stack_of = stack_of, .planes = planes, .order = order};
    for (size_t key = 0; key < LAM_COUNT(keys); key++)
        if (deal(a, key) && are_grids(a)) {
            tell(a, key, err);
            return;
        }
}
